/* SPDX-License-Identifier: GPL-2.0-only */
/* The one function of POSIX that the vectors' parser uses and mingw lacks. */
#ifndef WINE_TESTS_POSIX_H
#define WINE_TESTS_POSIX_H

#include <stdio.h>
#include <sys/types.h>

ssize_t getline(char **line, size_t *room, FILE *f);

#endif
