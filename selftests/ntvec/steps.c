// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps of a vector, in the process that this runs in.
 */
#include "ntvec.h"

#include <stdio.h>
#include <string.h>

#define B_ROOM		(16ul << 20)

/* A place with 16 MiB free, found by reserving it for a moment. */
static bool choose_b(uint64_t *b, char *text)
{
	NTSTATUS status = STATUS_SUCCESS;
	uint64_t at;

	for (at = system_first_b; at < UINTPTR_MAX - B_ROOM; at += at < 0x7E000000 ? B_ROOM : 0x40000000) {
		PVOID base = (PVOID)(uintptr_t)at;
		SIZE_T size = B_ROOM, all = 0;

		if (at > 0x2000000000ull)
			break;
		status = NtAllocateVirtualMemory(NtCurrentProcess(), &base, 0, &size,
						 MEM_RESERVE, PAGE_NOACCESS);
		if (status != STATUS_SUCCESS)
			continue;
		status = NtFreeVirtualMemory(NtCurrentProcess(), &base, &all, MEM_RELEASE);
		if (status != STATUS_SUCCESS)
			break;
		*b = at;
		return true;
	}
	snprintf(text, TEXT_MAX, "no place for B: %s", status_name((uint32_t)status));
	return false;
}

static bool env_init(struct env *env, bool uses_b, char *text)
{
	uint64_t kern = 1;

	memset(env, 0, sizeof(*env));
	if (!system_highest_address(&env->appmax, text))
		return false;
	env->img = (uintptr_t)run_steps & ~(uint64_t)0xFFF;

	/* User space ends at a power of two where that is an address at all. */
	while (kern && kern <= env->appmax)
		kern <<= 1;
	/* All 4 GiB are a 32-bit program's, but for its last pages. */
	if (!kern || kern > UINTPTR_MAX)
		kern = UINTPTR_MAX & ~(uint64_t)0xFFF;
	env->kern = kern + 0xC8;

	return !uses_b || choose_b(&env->b, text);
}

enum verdict run_steps(const struct vector *v, int contract, char *text)
{
	struct env fresh, env;

	if (!system_set_contract(contract, text))
		return FAILED;
	if (!env_init(&fresh, v->uses_b, text))
		return FAILED;

	for (unsigned long round = 0; round < v->rounds; round++) {
		env = fresh;
		if (round)
			system_sweep();
		for (int i = 0; i < v->nr_steps; i++) {
			const struct step *step = &v->steps[i];
			struct outcome out = { .w32 = -1 };
			char msg[MSG_MAX] = "";
			enum verdict verdict;
			int used = 0;

			if (step->op->run(step, &env, &out))
				verdict = check_step(step, &env, &out, msg);
			else {
				verdict = FAILED;
				snprintf(msg, sizeof(msg), "%s", out.why);
			}
			if (verdict == PASSED)
				continue;
			if (verdict == ENDED)
				break;
			if (verdict == SKIPPED) {
				snprintf(text, TEXT_MAX, "%s", msg);
				return SKIPPED;
			}
			if (v->rounds > 1)
				used = snprintf(text, TEXT_MAX, "round %lu, ", round + 1);
			snprintf(text + used, (size_t)(TEXT_MAX - used), "step %d: %s: %s",
				 i + 1, step->call, msg);
			return FAILED;
		}
	}
	return PASSED;
}
