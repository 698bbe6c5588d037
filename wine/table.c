// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The table of system services in Wine's ntdll.so, and replacing entries of it.
 *
 * Wine numbers its system services anew in every version; a table of function
 * pointers, read at each system call, leads from the number to the function.
 * ntdll.so also exports the functions, and is linked so that it uses none of
 * its own exports' entries elsewhere: each one's address stands once in its
 * data, which is the table. What is looked for is all of this, in a version on
 * which it was tried. Whatever is otherwise means that nothing is changed.
 */
#include "backend.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

/* The builds of ntdll.so on which the backend was tested, by their build ids. */
static const struct {
	const char *name;
	unsigned char id[20];
} builds[] = {
	{ "wine64 8.0~repack-4 (Debian 12, amd64)",
	  { 0x21, 0xb6, 0xea, 0x17, 0xfa, 0x19, 0x5d, 0x01, 0x26, 0xd8,
	    0xe1, 0x86, 0x3d, 0x2c, 0x32, 0x01, 0xe8, 0xcb, 0xf4, 0x24 } },
};

/* No table of any version is that large. */
#define MAX_SERVICES	1024

/* What is known of the loaded ntdll.so. */
static struct image {
	uintptr_t inside;		/* an address in it, to find it by */
	uintptr_t start, end;		/* of all segments */
	uintptr_t text, text_end;	/* the executable one */
	uintptr_t relro, relro_end;	/* data that the loader makes read-only */
	uintptr_t data_end;		/* of the writable one, which begins with that */
	const unsigned char *build_id;	/* 20 bytes */
} image;

bool wine_text_has(uintptr_t address)
{
	return address >= image.text && address < image.text_end;
}

void wine_data(uintptr_t *start, uintptr_t *end)
{
	*start = (image.relro_end + 7) & ~(uintptr_t)7;
	*end = image.data_end;
}

static void read_notes(struct image *im, const char *note, size_t len)
{
	while (len >= sizeof(ElfW(Nhdr))) {
		const ElfW(Nhdr) *n = (const ElfW(Nhdr) *)note;
		const char *name = note + sizeof(*n);
		const char *desc = name + ((n->n_namesz + 3) & ~3u);
		size_t all = (size_t)(desc - note) + ((n->n_descsz + 3) & ~3u);

		if (all > len)
			return;
		if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 &&
		    !memcmp(name, "GNU", 4) && n->n_descsz == 20)
			im->build_id = (const unsigned char *)desc;
		note += all;
		len -= all;
	}
}

static int read_headers(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct image im = { .start = UINTPTR_MAX }, *out = arg;
	int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + ph->p_vaddr, end = start + ph->p_memsz;

		switch (ph->p_type) {
		case PT_LOAD:
			if (start < im.start)
				im.start = start;
			if (end > im.end)
				im.end = end;
			if (ph->p_flags & PF_W)
				im.data_end = end;
			if (ph->p_flags & PF_X) {
				/* A second one is not what is expected. */
				im.text_end = im.text ? 0 : end;
				im.text = start;
			}
			break;
		case PT_GNU_RELRO:
			im.relro = start;
			im.relro_end = end;
			break;
		case PT_NOTE:
			read_notes(&im, (const char *)start, ph->p_memsz);
			break;
		}
	}
	if (out->inside < im.start || out->inside >= im.end)
		return 0;
	im.inside = out->inside;
	*out = im;
	return 1;
}

static bool is_known_build(const unsigned char *id)
{
	size_t i;

	for (i = 0; id && i < sizeof(builds) / sizeof(builds[0]); i++)
		if (!memcmp(builds[i].id, id, sizeof(builds[i].id)))
			return true;
	return false;
}

/* The one slot that holds this address; NULL if there is none or another one. */
static void **find_slot(const void *fn)
{
	void **at = (void **)((image.relro + 7) & ~(uintptr_t)7);
	void **end = (void **)(image.relro_end & ~(uintptr_t)7);
	void **found = NULL;

	for (; at < end; at++) {
		if (*at != fn)
			continue;
		if (found)
			return NULL;
		found = at;
	}
	return found;
}

const char *hooks_install(void *handle)
{
	void **first = NULL, **last = NULL, **at;
	uintptr_t page, page_end;
	int i;

	image.inside = (uintptr_t)dlsym(handle, "__wine_main");
	if (!image.inside || !dl_iterate_phdr(read_headers, &image))
		return "this is no ntdll.so of Wine";
	if (!is_known_build(image.build_id))
		return "this build of Wine is not one that was tested";
	if (!image.text_end || !image.relro)
		return "ntdll.so is laid out differently";

	for (i = 0; i < NR_HOOKS; i++) {
		hooks[i].wine = dlsym(handle, hooks[i].name);
		if (!hooks[i].wine || !wine_text_has((uintptr_t)hooks[i].wine))
			return "ntdll.so lacks a call";
		hooks[i].slot = find_slot(hooks[i].wine);
		if (!hooks[i].slot)
			return "a call is not once in ntdll.so's table";
		if (!first || hooks[i].slot < first)
			first = hooks[i].slot;
		if (!last || hooks[i].slot > last)
			last = hooks[i].slot;
	}
	/* One table: nothing but functions from the first to the last. */
	if (last - first >= MAX_SERVICES)
		return "ntdll.so's table is not in one piece";
	for (at = first; at <= last; at++)
		if (!wine_text_has((uintptr_t)*at))
			return "ntdll.so's table is not in one piece";
	if (!targets_init(handle))
		return "ntdll.so lacks a call";

	page = PAGE_OF(first);
	page_end = PAGE_OF((uintptr_t)last + sizeof(*last) - 1) + PAGE;
	/* A page that holds other data as well must not become read-only. */
	if (page_end > PAGE_OF(image.relro_end) || page < PAGE_OF(image.relro) ||
	    mprotect((void *)page, page_end - page, PROT_READ | PROT_WRITE))
		return "ntdll.so's table cannot be changed";
	for (i = 0; i < NR_HOOKS; i++)
		*hooks[i].slot = hooks[i].fn;
	/* Writable it would work as well. */
	mprotect((void *)page, page_end - page, PROT_READ);
	return NULL;
}
