#include <string.h>

#include "dispatchd/runs_claim.h"

static bool
name_fits(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789 ._-");

	return n > 0 && n <= CLAIM_NAME_MAX && name[n] == '\0';
}

static bool
text_fits(const char *text)
{
	size_t n;

	for (n = 0; text[n] != '\0'; n++) {
		if (n == CLAIM_TEXT_MAX || text[n] < ' ' || text[n] > '~')
			return false;
	}
	return true;
}

bool
claim_proof_fits(const struct msg_agent_proof *p)
{
	size_t i;

	for (i = 0; i < p->checks.n; i++) {
		if (!name_fits(p->checks.k[i]) || !text_fits(p->checks.v[i]))
			return false;
	}
	return true;
}
