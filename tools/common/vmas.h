/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel says about the mappings of an address range of this process:
 * the demos and the benchmark show it beside ntvm's own account. Header only,
 * because three small programs share these two loops and nothing else.
 */
#ifndef NTVM_TOOLS_VMAS_H
#define NTVM_TOOLS_VMAS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct vmas {
	long count;	/* VMAs that cover a part of the range */
	long resident;	/* KiB of their pages present in the page tables, -1 if not asked for */
};

/*
 * Look at [@addr, @addr + @len). /proc/self/smaps walks page tables and costs
 * much more than /proc/self/maps, so it is read only for @want_resident.
 * Returns 0, or -1 if /proc cannot be read.
 */
static inline int vmas_read(const void *addr, size_t len, int want_resident, struct vmas *out)
{
	unsigned long lo = (unsigned long)(uintptr_t)addr, hi = lo + len, start, end;
	char line[512];
	FILE *f = fopen(want_resident ? "/proc/self/smaps" : "/proc/self/maps", "re");
	int inside = 0;
	long kib;

	if (!f)
		return -1;
	out->count = 0;
	out->resident = want_resident ? 0 : -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			inside = start < hi && end > lo;
			out->count += inside;
		} else if (inside && want_resident && sscanf(line, "Rss: %ld kB", &kib) == 1) {
			out->resident += kib;
		}
	}
	if (ferror(f)) {
		fclose(f);
		return -1;
	}
	fclose(f);
	return 0;
}

#endif /* NTVM_TOOLS_VMAS_H */
