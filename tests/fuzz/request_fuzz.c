/*
 * Any text as a repository, a base, a request's id. What is taken holds
 * nothing that git, a shell or a path would read as something else; and is the
 * same when it is asked again.
 */

#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dispatchd/queue_request.h"

#define TEXT_MAX 700

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *argv_x = "x";
static struct dispatch_tool tool;
static struct dispatch_profile profile;
static struct dispatch_config *config;

static void
make_config(void)
{
	config = calloc(1, sizeof(*config));
	assert(config != NULL);
	tool.name = "sh";
	tool.argv[0] = argv_x;
	tool.argc = 1;
	profile.name = "dev";
	profile.tools[0] = tool.name;
	profile.ntools = 1;
	profile.deadline_ms = 60000;
	config->tools = &tool;
	config->ntools = 1;
	config->profiles = &profile;
	config->nprofiles = 1;
	config->default_tool = "sh";
	config->default_profile = "dev";
	config->forge = "https://forge.example";
}

static void
check_url(const char *url)
{
	char again[QUEUE_URL_MAX + 1];
	const char *why, *p;

	assert(strncmp(url, "https://", 8) == 0);
	assert(strstr(url, "..") == NULL || strstr(url, "/..") == NULL);
	assert(strstr(url, "/-") == NULL);
	assert(strchr(url, '@') == NULL);
	assert(strchr(url + 8, '/') != NULL);
	for (p = url; *p != '\0'; p++)
		assert(*p > 0x20 && *p < 0x7f &&
		    strchr("?#\\\"'`$;&|<>", *p) == NULL);
	assert(queue_url_canon(url, false, again, &why) == 0);
	assert(strcmp(url, again) == 0);
}

static void
check_directory(const char *name)
{
	assert(*name != '\0' && *name != '.' && *name != '-');
	assert(strspn(name,
	           "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	           "0123456789._-") == strlen(name));
}

static void
check_base(const char *base)
{
	assert(*base != '-' && strstr(base, "..") == NULL);
	assert(strpbrk(base, " ~^:?*[\\\n\r\t\x7f") == NULL);
	assert(strstr(base, "@{") == NULL);
}

/* The first line is the id, the second the repository, the rest the base. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[TEXT_MAX + 1], *rest = text, *id, *repo;
	struct queue_refusal no;
	struct queue_request r;
	struct queue_job job;

	if (size > TEXT_MAX)
		return 0;
	if (config == NULL)
		make_config();
	memcpy(text, data, size);
	text[size] = '\0';
	id = strsep(&rest, "\n");
	repo = rest != NULL ? strsep(&rest, "\n") : NULL;
	r = (struct queue_request){ .request = id,
		.repo = repo != NULL ? repo : "",
		.base = rest != NULL ? rest : "",
		.tool = "",
		.profile = "" };
	if (queue_request_check(config, &r, &job, &no) == -1) {
		assert(no.code[0] != '\0' && no.reason[0] != '\0');
		return 0;
	}
	assert(strlen(id) >= 1 && strlen(id) <= QUEUE_REQUEST_ID_MAX);
	if (*r.repo != '\0') {
		check_url(job.url);
		check_directory(job.directory);
	} else
		assert(job.url[0] == '\0');
	if (*r.base != '\0')
		check_base(job.base);
	return 0;
}
