/* ctl_table: columns as wide as what is in them, for people; and numbers as people read them. */
#ifndef NODE_CTL_CTL_TABLE_H
#define NODE_CTL_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum ctl_colour { CTL_PLAIN, CTL_BOLD, CTL_DIM, CTL_GREEN, CTL_YELLOW, CTL_RED };

/* Standard output is a terminal that has colours, and NO_COLOR is not set. */
bool ctl_wants_colour(void);
/* Text in its colour, or without. */
void ctl_put_coloured(FILE *, bool colour, enum ctl_colour, const char *text);

struct ctl_table;

/* Columns whose number has its bit in `right` (of the first 64) are flush right. */
struct ctl_table *ctl_table_new(size_t columns, uint64_t right);
/* The next cell, row by row; the first row is the heading. Copied. */
__attribute__((format(printf, 3, 4))) void ctl_table_put(struct ctl_table *, enum ctl_colour, const char *fmt, ...);
/* The rows that are whole, nothing behind the last cell of each. */
void ctl_table_print(const struct ctl_table *, FILE *, bool colour);
void ctl_table_free(struct ctl_table *); /* harmless on NULL */

#define CTL_NUMBER_BYTES 32

/* "0 B", "999 B", "1.2 kB", "12 kB", "1.5 GB": powers of 1000. Returns out. */
char *ctl_format_bytes(uint64_t n, char out[CTL_NUMBER_BYTES]);
/* "0.4 ms", "12 ms", "1.5 s". Returns out. */
char *ctl_format_us(uint64_t us, char out[CTL_NUMBER_BYTES]);
/* "12 s", "5 min", "3 h", "12 days". Returns out. */
char *ctl_format_s(uint64_t s, char out[CTL_NUMBER_BYTES]);
/* 0.5 is "50 %", small ones "0.4 %". Returns out. */
char *ctl_format_ratio(double ratio, char out[CTL_NUMBER_BYTES]);

#endif
