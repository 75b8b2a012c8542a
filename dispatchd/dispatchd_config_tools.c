/* Tools are data: what is run, and how it gets its prompt. */

#include <string.h>

#include "libcommon/mem.h"

#include "dispatchd/dispatchd_config.h"
#include "dispatchd/queue_request.h"

#define ARGV_ALLOWED "a list of 1 to 64 words, the first one a program"

static const char *const prompt_words[] = { "stdin", "file", "argument", NULL };

static void
parse_argv(struct conf *, const struct json_node *, const char *, void *);

#define AT(member) offsetof(struct dispatch_tool, member)
const struct conf_key dispatch_keys_tool[] = {
	{ .name = "argv",
	    .type = CONF_CALL,
	    .required = true,
	    .parse = parse_argv,
	    .allowed = ARGV_ALLOWED },
	{ .name = "prompt",
	    .type = CONF_ENUM,
	    .off = AT(prompt),
	    .words = prompt_words },
	{ .name = "env",
	    .type = CONF_CALL,
	    .off = AT(env),
	    .parse = dispatch_parse_env },
	DISPATCH_LATER("budget"),
	{ .name = NULL },
};

/* A tool's name is a part of the branch that it leaves. */
bool
dispatch_name_valid(const char *s)
{
	size_t len = strlen(s);

	return len >= 1 && len <= DISPATCH_NAME_MAX &&
	    strspn(s,
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	        "0123456789._-") == len &&
	    strchr("._-", s[0]) == NULL && queue_branch_valid(s);
}

static void
parse_argv(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct dispatch_tool *t = place;
	const struct json_node *child;
	char buf[CONF_PATH_MAX];

	if (!conf_expect(c, n, path, JSON_ARRAY, ARGV_ALLOWED))
		return;
	if (n->len == 0 || n->len > DISPATCH_ARGV_MAX) {
		conf_error(c, n, path, "has %zu words; allowed: " ARGV_ALLOWED,
		    n->len);
		return;
	}
	for (child = n->child; child != NULL; child = child->next) {
		conf_path_index(buf, path, t->argc);
		if (!conf_expect(c, child, buf, JSON_STRING, "a word"))
			continue;
		if (child->len > DISPATCH_ARG_MAX ||
		    (child->len == 0 && t->argc == 0))
			conf_error(c, child, buf,
			    "has %zu bytes; allowed: at most %d, and a "
			    "program's name",
			    child->len, DISPATCH_ARG_MAX);
		t->argv[t->argc++] = child->str;
	}
}

/* The word that the prompt takes the place of: once, or not at all. */
static void
check_prompt(struct conf *c, const struct json_node *n, const char *path,
    const struct dispatch_tool *t)
{
	const struct json_node *argv = json_member(n, "argv");
	char buf[CONF_PATH_MAX];
	size_t i, places = 0;

	for (i = 0; i < t->argc; i++)
		places += strcmp(t->argv[i], "{}") == 0;
	if (argv == NULL || argv->type != JSON_ARRAY || argv->len != t->argc)
		return;
	conf_path_key(buf, path, "argv");
	if (t->argc > 0 && strcmp(t->argv[0], "{}") == 0)
		conf_error(c, argv, buf,
		    "would run the prompt; allowed: a program first");
	else if (t->prompt == PROMPT_ARGUMENT && places != 1)
		conf_error(c, argv, buf,
		    "has %zu words \"{}\"; allowed: one, where the prompt "
		    "goes",
		    places);
	else if (t->prompt != PROMPT_ARGUMENT && places > 0)
		conf_error(c, argv, buf,
		    "has a word \"{}\", but the prompt is no argument; "
		    "allowed: none, or prompt \"argument\"");
}

static void
read_tool(struct conf *c, const struct json_node *n, const char *path,
    struct dispatch_tool *t)
{
	t->name = n->key;
	if (!dispatch_name_valid(n->key))
		conf_error(
		    c, n, path, "is no tool's name; allowed: " NAME_ALLOWED);
	conf_read(c, n, path, dispatch_keys_tool, t);
	if (n->type == JSON_OBJECT)
		check_prompt(c, n, path, t);
}

void
dispatch_parse_tools(
    struct conf *c, const struct json_node *n, const char *path, void *place)
{
	struct dispatch_config *cfg = place;
	const struct json_node *child;
	char buf[CONF_PATH_MAX];

	if (!conf_expect(c, n, path, JSON_OBJECT, "an object of tools"))
		return;
	if (n->len > DISPATCH_TOOLS_MAX) {
		conf_error(c, n, path, "has %zu entries; allowed: %d", n->len,
		    DISPATCH_TOOLS_MAX);
		return;
	}
	cfg->tools = xcalloc(n->len + 1, sizeof(*cfg->tools));
	for (child = n->child; child != NULL; child = child->next)
		read_tool(c, child, conf_path_key(buf, path, child->key),
		    &cfg->tools[cfg->ntools++]);
}

const struct dispatch_tool *
dispatch_tool_find(const struct dispatch_config *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->ntools; i++) {
		if (strcmp(c->tools[i].name, name) == 0)
			return &c->tools[i];
	}
	return NULL;
}
