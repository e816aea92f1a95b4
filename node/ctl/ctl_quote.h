/* ctl_quote: a value written so that a shell or a file format reads it back byte for byte. */
#ifndef NODE_CTL_CTL_QUOTE_H
#define NODE_CTL_CTL_QUOTE_H

#include <stdio.h>

enum ctl_quote {
	CTL_QUOTE_SH,         /* POSIX shells: single quotes */
	CTL_QUOTE_FISH,       /* 'it\'s' */
	CTL_QUOTE_JSON,       /* "..." ; also YAML */
	CTL_QUOTE_GITHUB,     /* as it is, to the line's end */
	CTL_QUOTE_DOCKERFILE, /* "..." with \" \\ \$ */
	CTL_QUOTE_PROPERTIES, /* Java's .properties, ASCII only */
	CTL_QUOTE_SYSTEMD,    /* what stands between the quotes of Environment="..." */
	CTL_QUOTE_APT,        /* "..." of apt.conf, which has no escapes */
	CTL_QUOTE_LINE,       /* as it is, white space at the ends forbidden */
};

/* 0, or -1 with nothing written when the format cannot hold the value (a newline, a quote). */
int ctl_quote_put(FILE *, enum ctl_quote, const char *value);

#endif
