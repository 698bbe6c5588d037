// SPDX-License-Identifier: GPL-2.0-only
/*
 * What gcov wants to know, without help from the kernel: stock kernels have no
 * CONFIG_GCOV_KERNEL, and the one of our own that has it is slow for other
 * reasons. The compiler lets each object register its counters by a
 * constructor; these are called here where the kernel calls none, and files in
 * debugfs give out the counters as the .gcda files that gcov reads.
 *
 * Only in builds with NTVM_GCOV=y. No locks: the list is made before there are
 * files, counting goes on while they are read, and a count that two processors
 * change at once may miss one.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "gcov.h"

#define GCOV_MAGIC		0x67636461
#define GCOV_FUNCTION		0x01000000
#define GCOV_COUNTERS		0x01a10000
#define GCOV_UNIT		(__GNUC__ >= 12 ? 4 : 1)	/* lengths count words or bytes */
#define GCOV_KINDS		(__GNUC__ >= 14 ? 9 : 8)

/* What the compiler lays out; libgcc has these under other names. */
struct ntvm_gcov_counters {
	unsigned int nr;
	s64 *value;
};

struct ntvm_gcov_function {
	const struct ntvm_gcov_object *object;
	unsigned int ident, lines_sum, graph_sum;
	struct ntvm_gcov_counters counters[];	/* one for each kind that is in use */
};

struct ntvm_gcov_object {
	unsigned int version;
	struct ntvm_gcov_object *next;
	unsigned int stamp;
#if __GNUC__ >= 12
	unsigned int sum;
#endif
	const char *name;
	const void *merge[GCOV_KINDS];	/* functions: NULL for a kind that is not in use */
	unsigned int nr;
	struct ntvm_gcov_function **function;
};

typedef void (*ntvm_gcov_constructor)(void);

/* A kernel that calls constructors calls these, too. */
static void __init ntvm_gcov_mark(void)
{
}

/* The linker sorts by these names, and the compiler's constructors are between them. */
static ntvm_gcov_constructor ntvm_gcov_first
	__used __section(".init_array.00001") __aligned(sizeof(void *)) = ntvm_gcov_mark;
static ntvm_gcov_constructor ntvm_gcov_last
	__used __section(".init_array.65534") __aligned(sizeof(void *)) = ntvm_gcov_mark;

static struct ntvm_gcov_object *ntvm_gcov_objects;
static struct dentry *ntvm_gcov_dir;

/**
 * __gcov_init() - an object's constructor brings its counters
 * @object: what to remember
 */
void __gcov_init(struct ntvm_gcov_object *object)
{
	object->next = ntvm_gcov_objects;
	ntvm_gcov_objects = object;
}

/**
 * __gcov_exit() - an object's destructor; never called
 */
void __gcov_exit(void)
{
}

/**
 * __gcov_merge_add() - tells by its address that a kind of counters is in use
 * @counters: not used
 * @nr: not used
 */
void __gcov_merge_add(s64 *counters, unsigned int nr)
{
}

/* Writes a word if there is a place for it; the position behind it. */
static size_t ntvm_gcov_word(u32 *at, size_t pos, u32 word)
{
	if (at)
		at[pos] = word;
	return pos + 1;
}

/* The file of an object, to @at unless that is NULL. Returns its length in words. */
static size_t ntvm_gcov_file(const struct ntvm_gcov_object *object, u32 *at)
{
	size_t pos = ntvm_gcov_word(at, 0, GCOV_MAGIC);
	unsigned int i, j, kind;

	pos = ntvm_gcov_word(at, pos, object->version);
	pos = ntvm_gcov_word(at, pos, object->stamp);
#if __GNUC__ >= 12
	pos = ntvm_gcov_word(at, pos, object->sum);
#endif
	for (i = 0; i < object->nr; i++) {
		const struct ntvm_gcov_function *f = object->function[i];
		const struct ntvm_gcov_counters *c;

		if (!f || f->object != object)
			continue;
		c = f->counters;
		pos = ntvm_gcov_word(at, pos, GCOV_FUNCTION);
		pos = ntvm_gcov_word(at, pos, 3 * GCOV_UNIT);
		pos = ntvm_gcov_word(at, pos, f->ident);
		pos = ntvm_gcov_word(at, pos, f->lines_sum);
		pos = ntvm_gcov_word(at, pos, f->graph_sum);
		for (kind = 0; kind < GCOV_KINDS; kind++) {
			if (!object->merge[kind])
				continue;
			pos = ntvm_gcov_word(at, pos, GCOV_COUNTERS + (kind << 17));
			pos = ntvm_gcov_word(at, pos, 2 * GCOV_UNIT * c->nr);
			for (j = 0; j < c->nr; j++) {
				u64 value = READ_ONCE(c->value[j]);

				pos = ntvm_gcov_word(at, pos, lower_32_bits(value));
				pos = ntvm_gcov_word(at, pos, upper_32_bits(value));
			}
			c++;
		}
	}
	return pos;
}

/* Opened, a file is what was counted by then. */
static int ntvm_gcov_open(struct inode *inode, struct file *file)
{
	const struct ntvm_gcov_object *object = inode->i_private;
	size_t words = ntvm_gcov_file(object, NULL);
	u32 *buf = vmalloc(words * sizeof(*buf));

	if (!buf)
		return -ENOMEM;
	ntvm_gcov_file(object, buf);
	file->private_data = buf;
	return 0;
}

static ssize_t ntvm_gcov_read(struct file *file, char __user *to, size_t len, loff_t *pos)
{
	const struct ntvm_gcov_object *object = file_inode(file)->i_private;

	return simple_read_from_buffer(to, len, pos, file->private_data,
				       ntvm_gcov_file(object, NULL) * sizeof(u32));
}

static int ntvm_gcov_release(struct inode *inode, struct file *file)
{
	vfree(file->private_data);
	return 0;
}

static const struct file_operations ntvm_gcov_fops = {
	.owner = THIS_MODULE,
	.open = ntvm_gcov_open,
	.read = ntvm_gcov_read,
	.release = ntvm_gcov_release,
	.llseek = default_llseek,
};

/**
 * ntvm_gcov_start() - find the counters and show them in debugfs
 *
 * Context: From the module's initialisation: the constructors are gone after it.
 * Return: 0, or -ENOENT if the objects brought no counters.
 */
int ntvm_gcov_start(void)
{
	ntvm_gcov_constructor *at = &ntvm_gcov_first;
	struct ntvm_gcov_object *object;
	bool called;

	/* Two variables to the compiler, but one array to the linker. */
	OPTIMIZER_HIDE_VAR(at);
	/* A kernel that calls constructors has done so. */
	called = ntvm_gcov_objects;
	for (at++; !called && at != &ntvm_gcov_last; at++)
		(*at)();
	if (!ntvm_gcov_objects)
		return -ENOENT;
	ntvm_gcov_dir = debugfs_create_dir("ntvm-gcov", NULL);
	for (object = ntvm_gcov_objects; object; object = object->next)
		debugfs_create_file(kbasename(object->name), 0400, ntvm_gcov_dir, object,
				    &ntvm_gcov_fops);
	return 0;
}

/**
 * ntvm_gcov_stop() - take the files away
 *
 * Context: From the module's exit.
 */
void ntvm_gcov_stop(void)
{
	debugfs_remove(ntvm_gcov_dir);
}
