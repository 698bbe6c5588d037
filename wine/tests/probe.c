// SPDX-License-Identifier: GPL-2.0-only
/* The handlers behind probe.h. */
#include "nt.h"
#include "probe.h"

extern const char probe_first[], probe_end[], probe_refused[], probe_call_refused[];
uint32_t probe_call_inner(uint64_t address, uint32_t *result);

static volatile uint64_t call_target;
static struct probe *call_probe;

static void fill(struct probe *probe, const EXCEPTION_RECORD *record)
{
	probe->code = record->ExceptionCode;
	probe->nr_info = record->NumberParameters;
	probe->info[0] = record->NumberParameters > 0 ? record->ExceptionInformation[0] : 0;
	probe->info[1] = record->NumberParameters > 1 ? record->ExceptionInformation[1] : 0;
	probe->instruction = (uintptr_t)record->ExceptionAddress;
}

static LONG CALLBACK on_exception(EXCEPTION_POINTERS *pointers)
{
	EXCEPTION_RECORD *record = pointers->ExceptionRecord;
	CONTEXT *context = pointers->ContextRecord;

	if (context->Rip >= (uintptr_t)probe_first && context->Rip < (uintptr_t)probe_end) {
		fill((struct probe *)context->R8, record);
		context->Rip = (uintptr_t)probe_refused;
	} else if (call_target && context->Rip == call_target) {
		fill(call_probe, record);
		context->Rip = (uintptr_t)probe_call_refused;
		context->Rsp += sizeof(uint64_t);
	} else {
		return EXCEPTION_CONTINUE_SEARCH;
	}
	context->Rax = record->ExceptionCode;
	return EXCEPTION_CONTINUE_EXECUTION;
}

uint32_t probe_call(uint64_t address, uint32_t *result, struct probe *probe)
{
	uint32_t code;

	call_probe = probe;
	call_target = address;
	code = probe_call_inner(address, result);
	call_target = 0;
	return code;
}

/* Of seh_load(): it handles whatever comes. */
uint32_t seh_code;
LONG seh_filter(EXCEPTION_POINTERS *pointers, void *frame);

LONG seh_filter(EXCEPTION_POINTERS *pointers, void *frame)
{
	(void)frame;
	seh_code = pointers->ExceptionRecord->ExceptionCode;
	return EXCEPTION_EXECUTE_HANDLER;
}

void probe_init(void)
{
	AddVectoredExceptionHandler(1, on_exception);
}
