#ifndef EGRESSD_EGRESSD_CONFIG_H
#define EGRESSD_EGRESSD_CONFIG_H

/*
 * What the files of egressd_config*.c share. A parser of a row is called with
 * its place in struct egress_config (see struct conf_key).
 */

#include "egressd/egressd.h"

/* The tables of keys, for the reader and for the test of the manual. */
extern const struct conf_key egress_keys_top[];
extern const struct conf_key egress_keys_users[];
extern const struct conf_key egress_keys_peer[];
extern const struct conf_key egress_keys_listener[];
extern const struct conf_key egress_keys_profile[];
extern const struct conf_key egress_keys_rule[];

/* egressd_config_lists.c: place is the whole struct egress_config */
void egress_parse_peers(
    struct conf *c, const struct json_node *n, const char *path, void *place);
void egress_parse_listeners(
    struct conf *c, const struct json_node *n, const char *path, void *place);
void egress_parse_resolvers(
    struct conf *c, const struct json_node *n, const char *path, void *place);
/* Is s the name of a listener or a profile: [A-Za-z0-9._-]{1,64}? */
bool egress_name_valid(const char *s);

/* egressd_config_rules.c: place is the whole struct egress_config */
void egress_parse_profiles(
    struct conf *c, const struct json_node *n, const char *path, void *place);
const struct egress_profile *
egress_profile_find(const struct egress_config *c, const char *name);

/* egressd_config_runs.c: place is that of the key; networks: the whole */
void egress_parse_nft_table(
    struct conf *c, const struct json_node *n, const char *path, void *place);
void egress_parse_prefix(
    struct conf *c, const struct json_node *n, const char *path, void *place);
void egress_parse_networks(
    struct conf *c, const struct json_node *n, const char *path, void *place);
void egress_default_networks(
    struct egress_config *cfg, const struct json_node *root);

/* egressd_config_name.c */

/* Load the public suffix list once. */
void egress_suffixes_load(void);
/*
 * The canonical form ("*." in front of a wildcard) of the host of a rule into
 * out. Returns 0, or -1 with what is wrong and how to write it right in why.
 */
#define EGRESS_WILDCARD_MAX (HOSTNAME_MAX + 2)
int egress_rule_host(
    const char *s, char out[EGRESS_WILDCARD_MAX + 1], char *why, size_t whylen);

#endif
