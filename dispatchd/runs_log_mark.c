/*
 * Marks in a file of a log: with them its reader comes to an offset in a few
 * steps, though a tool may have printed it byte by byte.
 */

#include "dispatchd/runs_log_int.h"

/* Every second one goes. */
static void
thin(struct marks *m)
{
	size_t i;

	for (i = 0; i < MARKS_MAX / 2; i++)
		m->v[i] = m->v[2 * i + 1];
	m->n = MARKS_MAX / 2;
	m->stride *= 2;
}

void
marks_add(struct marks *m, int64_t at, off_t pos)
{
	off_t last = m->n > 0 ? m->v[m->n - 1].pos : 0;

	if (m->stride == 0)
		m->stride = MARK_STRIDE;
	if (pos - last < m->stride)
		return;
	if (m->n == MARKS_MAX)
		thin(m);
	m->v[m->n].at = at;
	m->v[m->n++].pos = pos;
}

const struct mark *
marks_find(const struct marks *m, int64_t at)
{
	size_t low = 0, high = m->n, mid;

	/* Those below low are not behind at, those from high on are. */
	while (low < high) {
		mid = low + (high - low) / 2;
		if (m->v[mid].at <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 ? &m->v[low - 1] : NULL;
}
