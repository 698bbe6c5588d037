/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loads, stores and calls that come back when they are refused, with the exception
 * that they raised. A vectored handler knows them by their instructions, so that
 * threads may use them at the same time, and goes on behind them: nothing is
 * unwound.
 */
#ifndef WINE_TESTS_PROBE_H
#define WINE_TESTS_PROBE_H

#include <stdint.h>

/* The exception record of what was refused. probe.S knows none of this. */
struct probe {
	uint32_t code;
	uint32_t nr_info;
	uint64_t info[2];	/* of a violation: 0 read, 1 write, 8 execute; the address */
	uint64_t instruction;
};

void probe_init(void);

/* 0 if the access was made, else the exception's code, which is in @probe as well. */
uint32_t probe_load(uint64_t address, uint8_t *byte, struct probe *probe);
uint32_t probe_store(uint64_t address, uint8_t byte, struct probe *probe);
uint32_t probe_store4(uint64_t address, uint32_t dword, struct probe *probe);
/* Calls what takes nothing and returns a number. One thread at a time. */
uint32_t probe_call(uint64_t address, uint32_t *result, struct probe *probe);
/* A load in a frame with a structured handler: the code of what it caught, or 0. */
uint32_t seh_load(uint64_t address, uint8_t *byte);

#endif
