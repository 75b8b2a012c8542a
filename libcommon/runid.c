#include <string.h>

#include "libcommon/runid.h"

bool
runid_valid(const char *s)
{
	return strlen(s) == RUNID_LEN &&
	    strspn(s, "abcdefghijklmnopqrstuvwxyz234567") == RUNID_LEN;
}
