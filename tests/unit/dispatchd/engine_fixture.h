#ifndef ENGINE_FIXTURE_H
#define ENGINE_FIXTURE_H

/* The run that the recorded inspections in tests/vectors/docker are of. */

#include "dispatchd/engine_docker.h"

#define INSTANCE "iiiiiiiiiiii"
#define IMAGE_ID  \
	"sha256:" \
	"e16caf74e48a503e061052bb2c863287dd37657b0631fefd5cb8189d038ef1e1"

static const struct engine_want fixture_want = {
	.run = "aaaaaaaaaaaa",
	.instance = INSTANCE,
	.prefix = "bh-",
	.runs_dir = "/run/bulkhead/runs",
	.image_id = IMAGE_ID,
	.api = 41,
	.subnet = "10.99.0.8/29",
	.gateway = "10.99.0.9",
	.address = "10.99.0.10",
	.memory = 268435456,
	.cpus_milli = 500,
	.pids = 64,
	.workspace = 67108864,
	.tmp = 1048576,
};

#endif
