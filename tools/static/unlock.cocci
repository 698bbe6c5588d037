// SPDX-License-Identifier: GPL-2.0-only
//
// A way out of a function that leaves a lock held which another way out gives
// back. Those that are there to take a lock are named. sparse sees spinlocks and RCU; the kernel does not annotate its mutexes
// and semaphores, nor can the process lock be, which may be refused: it is followed where it is
// taken in a statement of its own, with a test of the status right behind it.
//
virtual report

@initialize:python@
@@

TAKERS = ("ntvm_process_lock", "ntvm_process_lock_slow", "ntvm_process_lock_at", "ntvm_lock_begin",
          "ntvm_watch_lock", "ntvm_vector_enter")

@process exists@
expression p, x;
identifier status;
position at, out;
@@

(
 status = ntvm_process_lock@at(p, x);
|
 status = ntvm_process_lock_at@at(p, ...);
)
 if (status) {
 ...
 }
 ... when != ntvm_process_unlock(p, ...)
 return@out ...;

@process_used exists@
expression process.p;
position process.at;
identifier lock =~ "^ntvm_process_lock(_at)?$";
@@

 lock@at(p, ...)
 ... when any
 ntvm_process_unlock(p, ...)

@script:python depends on process_used@
at << process.at;
out << process.out;
@@

if at[0].current_element not in TAKERS:
    coccilib.report.print_report(out[0], "the process lock of line %s is still held" % at[0].line)

@read exists@
expression l;
position at;
@@

 down_read@at(l)
 ... when any
 up_read(l)

@read_out exists@
expression read.l;
position read.at, out;
@@

 down_read@at(l)
 ... when != up_read(l)
 return@out ...;

@script:python@
at << read.at;
out << read_out.out;
@@

if at[0].current_element not in TAKERS:
    coccilib.report.print_report(out[0], "the lock of line %s is still held" % at[0].line)

@write exists@
expression l;
position at;
@@

 down_write@at(l)
 ... when any
 up_write(l)

@write_out exists@
expression write.l;
position write.at, out;
@@

 down_write@at(l)
 ... when != up_write(l)
     when != downgrade_write(l)
 return@out ...;

@script:python@
at << write.at;
out << write_out.out;
@@

if at[0].current_element not in TAKERS:
    coccilib.report.print_report(out[0], "the lock of line %s is still held" % at[0].line)

@mm exists@
expression l;
position at;
@@

 mmap_read_lock@at(l)
 ... when any
 mmap_read_unlock(l)

@mm_out exists@
expression mm.l;
position mm.at, out;
@@

 mmap_read_lock@at(l)
 ... when != mmap_read_unlock(l)
 return@out ...;

@script:python@
at << mm.at;
out << mm_out.out;
@@

if at[0].current_element not in TAKERS:
    coccilib.report.print_report(out[0], "the mmap lock of line %s is still held" % at[0].line)
