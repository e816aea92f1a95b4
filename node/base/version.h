/* version: what --version, /stats.json and the logs say. */
#ifndef NODE_BASE_VERSION_H
#define NODE_BASE_VERSION_H

#define PMCACHE_VERSION "0.1.0"

#endif
