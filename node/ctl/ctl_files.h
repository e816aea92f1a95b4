/* ctl_files: settings for tools that do not look at the environment. */
#ifndef NODE_CTL_CTL_FILES_H
#define NODE_CTL_CTL_FILES_H

#include <stdio.h>

#include "node/ctl/ctl_vars.h"

/* Writes one file's text (`name`: "maven", "apt" ...), or all of them, each below a line saying where it belongs (name
 * NULL). 0; -1 when there is no such name; -2 when a path has characters that a file's format cannot hold (*which). */
int ctl_files_put(FILE *, const char *name, const struct ctl_settings *, const char **which);

#endif
