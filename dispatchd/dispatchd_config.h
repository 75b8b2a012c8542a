#ifndef DISPATCHD_DISPATCHD_CONFIG_H
#define DISPATCHD_DISPATCHD_CONFIG_H

/*
 * What the files of dispatchd_config*.c share. A parser of a row is called
 * with its place in its target (see struct conf_key).
 */

#include "dispatchd/dispatchd.h"

#define NAME_ALLOWED                                                        \
	"1 to 64 letters, digits, \".\", \"_\", \"-\", a letter or a digit" \
	" first, as git takes them in a branch"

#define DISPATCH_LATER(key)                     \
	{                                       \
		.name = key, .type = CONF_LATER \
	}

/* The tables of keys, for the reader and for the test of the manual. */
extern const struct conf_key dispatch_keys_top[];
extern const struct conf_key dispatch_keys_users[];
extern const struct conf_key dispatch_keys_engine[];
extern const struct conf_key dispatch_keys_capacity[];
extern const struct conf_key dispatch_keys_peer[];
extern const struct conf_key dispatch_keys_tool[];
extern const struct conf_key dispatch_keys_profile[];

/* dispatchd_config_lists.c: place is the whole struct dispatch_config */
void dispatch_parse_peers(
    struct conf *c, const struct json_node *n, const char *path, void *place);

/* dispatchd_config_values.c: place is that of the key */
void dispatch_parse_pool(
    struct conf *c, const struct json_node *n, const char *path, void *place);
void dispatch_parse_prefix(
    struct conf *c, const struct json_node *n, const char *path, void *place);
void dispatch_parse_forge(
    struct conf *c, const struct json_node *n, const char *path, void *place);
/* An integer, or a string as "1.5": thousandths of a processor. */
void dispatch_parse_cpus(
    struct conf *c, const struct json_node *n, const char *path, void *place);
/* place is a struct dispatch_env */
void dispatch_parse_env(
    struct conf *c, const struct json_node *n, const char *path, void *place);

/* dispatchd_config_tools.c: place is the whole struct dispatch_config */
void dispatch_parse_tools(
    struct conf *c, const struct json_node *n, const char *path, void *place);
/* Is s the name of a tool or a profile? */
bool dispatch_name_valid(const char *s);

/* dispatchd_config_profiles.c: place is the whole struct dispatch_config */
void dispatch_parse_profiles(
    struct conf *c, const struct json_node *n, const char *path, void *place);
/* What needs the whole: tools that profiles name, capacity, ca_file. */
void dispatch_check_profiles(
    struct dispatch_config *cfg, const struct json_node *root);

#endif
