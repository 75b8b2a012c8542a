#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libcommon/conf.h"

#define ALLOWED_MAX 256 /* text of what a key allows, known keys too */

/* --- numbers with units ----------------------------------------------- */

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit size_units[] = {
	{ "k", 1024 },
	{ "m", 1024 * 1024 },
	{ "g", 1024 * 1024 * 1024 },
	{ NULL, 0 },
};

static const struct unit time_units[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "m", 60 * 1000 },
	{ "h", 60 * 60 * 1000 },
	{ NULL, 0 },
};

static int
parse_units(const char *s, const struct unit *u, int64_t *value)
{
	int64_t n = 0;
	int digit;

	/* A leading zero would let someone think of octal. */
	if (!isdigit((unsigned char)*s) ||
	    (*s == '0' && isdigit((unsigned char)s[1])))
		return -1;
	for (; isdigit((unsigned char)*s); s++) {
		digit = *s - '0';
		if (n > (INT64_MAX - digit) / 10)
			return -1;
		n = n * 10 + digit;
	}
	while (u->name != NULL && strcmp(u->name, s) != 0)
		u++;
	if (u->name == NULL || n > INT64_MAX / u->factor)
		return -1;
	*value = n * u->factor;
	return 0;
}

int
conf_parse_size(const char *s, int64_t *bytes)
{
	return parse_units(s, size_units, bytes);
}

int
conf_parse_time(const char *s, int64_t *ms)
{
	return parse_units(s, time_units, ms);
}

/* --- tables ----------------------------------------------------------- */

static const char *
enum_words(const struct conf_key *k, char *buf, size_t size)
{
	const char *const *w;

	buf[0] = '\0';
	for (w = k->words; *w != NULL; w++) {
		if (w != k->words)
			strlcat(buf, " or ", size);
		strlcat(buf, "\"", size);
		strlcat(buf, *w, size);
		strlcat(buf, "\"", size);
	}
	return buf;
}

/* "a string of 1 to 64 bytes" */
static const char *
range(const struct conf_key *k, const char *what, const char *unit, char *buf,
    size_t size)
{
	if (k->max == INT64_MAX)
		snprintf(
		    buf, size, "%s %" PRId64 " or more%s", what, k->min, unit);
	else
		snprintf(buf, size, "%s %" PRId64 " to %" PRId64 "%s", what,
		    k->min, k->max, unit);
	return buf;
}

/* What a row allows, for a message. */
static const char *
allowed(const struct conf_key *k, char *buf, size_t size)
{
	if (k->allowed != NULL)
		return k->allowed;
	switch (k->type) {
	case CONF_STRING:
		return range(k, "a string of", " bytes", buf, size);
	case CONF_PATH:
		return range(k, "an absolute path of", " bytes", buf, size);
	case CONF_INT:
		return range(k, "an integer,", "", buf, size);
	case CONF_SIZE:
		return range(k, "an integer or a string as \"64m\" (k, m, g),",
		    " bytes", buf, size);
	case CONF_TIME:
		return range(k,
		    "seconds or a string as \"500ms\" (ms, s, m, h),", " ms",
		    buf, size);
	case CONF_BOOL:
		return "true or false";
	case CONF_ENUM:
		return enum_words(k, buf, size);
	case CONF_CALL:
	case CONF_LATER:
		break;
	}
	return "see the manual";
}

static void
read_string(struct conf *c, const struct json_node *n, const char *path,
    const struct conf_key *k, const char **place)
{
	char buf[ALLOWED_MAX];

	if (!conf_expect(c, n, path, JSON_STRING, allowed(k, buf, sizeof(buf))))
		return;
	if ((int64_t)n->len < k->min || (int64_t)n->len > k->max)
		conf_error(c, n, path, "has %zu bytes; allowed: %s", n->len,
		    allowed(k, buf, sizeof(buf)));
	else if (k->type == CONF_PATH && n->str[0] != '/')
		conf_error(c, n, path,
		    "\"%.100s\" is not absolute; allowed: %s", n->str,
		    allowed(k, buf, sizeof(buf)));
	else
		*place = n->str;
}

static void
read_bounded(struct conf *c, const struct json_node *n, const char *path,
    const struct conf_key *k, int64_t value, int64_t *place)
{
	char buf[ALLOWED_MAX];

	if (value >= k->min && value <= k->max)
		*place = value;
	else if (n->type == JSON_STRING)
		conf_error(c, n, path,
		    "\"%.100s\" is out of bounds; allowed: %s", n->str,
		    allowed(k, buf, sizeof(buf)));
	else
		conf_error(c, n, path,
		    "%" PRId64 " is out of bounds; allowed: %s", n->num,
		    allowed(k, buf, sizeof(buf)));
}

/* CONF_SIZE, CONF_TIME: a plain integer counts bytes, or seconds. */
static void
read_units(struct conf *c, const struct json_node *n, const char *path,
    const struct conf_key *k, int64_t *place)
{
	int64_t factor = k->type == CONF_SIZE ? 1 : 1000;
	char buf[ALLOWED_MAX];
	int64_t value;
	int r;

	if (n->type == JSON_INT) {
		value = n->num;
		if (value > INT64_MAX / factor || value < INT64_MIN / factor)
			value = value < 0 ? INT64_MIN : INT64_MAX;
		else
			value *= factor;
	} else {
		if (!conf_expect(
		        c, n, path, JSON_STRING, allowed(k, buf, sizeof(buf))))
			return;
		r = k->type == CONF_SIZE ? conf_parse_size(n->str, &value)
		                         : conf_parse_time(n->str, &value);
		if (r == -1) {
			conf_error(c, n, path,
			    k->type == CONF_SIZE
			        ? "\"%.100s\" is no size; allowed: %s"
			        : "\"%.100s\" is no time; allowed: %s",
			    n->str, allowed(k, buf, sizeof(buf)));
			return;
		}
	}
	read_bounded(c, n, path, k, value, place);
}

static void
read_enum(struct conf *c, const struct json_node *n, const char *path,
    const struct conf_key *k, int *place)
{
	char buf[ALLOWED_MAX];
	int i;

	if (!conf_expect(c, n, path, JSON_STRING, allowed(k, buf, sizeof(buf))))
		return;
	for (i = 0; k->words[i] != NULL; i++) {
		if (strcmp(k->words[i], n->str) == 0) {
			*place = i;
			return;
		}
	}
	conf_error(c, n, path, "\"%.100s\" is unknown; allowed: %s", n->str,
	    allowed(k, buf, sizeof(buf)));
}

static void
read_value(struct conf *c, const struct json_node *n, const char *path,
    const struct conf_key *k, void *place)
{
	char buf[ALLOWED_MAX];

	switch (k->type) {
	case CONF_STRING:
	case CONF_PATH:
		read_string(c, n, path, k, place);
		break;
	case CONF_INT:
		if (conf_expect(
		        c, n, path, JSON_INT, allowed(k, buf, sizeof(buf))))
			read_bounded(c, n, path, k, n->num, place);
		break;
	case CONF_SIZE:
	case CONF_TIME:
		read_units(c, n, path, k, place);
		break;
	case CONF_BOOL:
		if (conf_expect(
		        c, n, path, JSON_BOOL, allowed(k, buf, sizeof(buf))))
			*(bool *)place = n->num != 0;
		break;
	case CONF_ENUM:
		read_enum(c, n, path, k, place);
		break;
	case CONF_CALL:
		k->parse(c, n, path, place);
		break;
	case CONF_LATER:
		conf_error(c, n, path, "not in this version; leave it out");
		break;
	}
}

static void
unknown_key(struct conf *c, const struct json_node *n, const char *path,
    const struct conf_key *keys)
{
	char known[ALLOWED_MAX];
	const struct conf_key *k;

	known[0] = '\0';
	for (k = keys; k->name != NULL; k++) {
		if (k->type == CONF_LATER)
			continue;
		if (known[0] != '\0')
			strlcat(known, ", ", sizeof(known));
		strlcat(known, k->name, sizeof(known));
	}
	conf_error(c, n, path, "unknown key; allowed: %s", known);
}

void
conf_read(struct conf *c, const struct json_node *object, const char *path,
    const struct conf_key *keys, void *target)
{
	char buf[CONF_PATH_MAX], what[ALLOWED_MAX];
	const struct json_node *n;
	const struct conf_key *k;

	if (!conf_expect(c, object, path, JSON_OBJECT, "an object"))
		return;
	for (n = object->child; n != NULL; n = n->next) {
		conf_path_key(buf, path, n->key);
		for (k = keys; k->name != NULL; k++) {
			if (strcmp(k->name, n->key) == 0)
				break;
		}
		if (k->name == NULL)
			unknown_key(c, n, buf, keys);
		else
			read_value(c, n, buf, k, (char *)target + k->off);
	}
	for (k = keys; k->name != NULL; k++) {
		if (k->required && json_member(object, k->name) == NULL)
			conf_error(c, object, conf_path_key(buf, path, k->name),
			    "is missing; allowed: %s",
			    allowed(k, what, sizeof(what)));
	}
}
