/*
 * Runs a fuzz target over files once, without libFuzzer: every argument is a
 * file, or a directory of files. Fails when one cannot be read, or when there
 * was none at all.
 */

#include <sys/stat.h>
#include <sys/types.h>

#include <dirent.h>
#include <err.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (16L * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t inputs;

/* In memory of just its size, so that the sanitizer sees a byte too far. */
static void
run_file(const char *path)
{
	struct stat st;
	uint8_t *data;
	size_t size;
	FILE *fp;

	fp = fopen(path, "rb");
	if (fp == NULL || fstat(fileno(fp), &st) == -1)
		err(1, "%s", path);
	if (st.st_size > INPUT_MAX)
		errx(1, "%s: too large", path);
	size = (size_t)st.st_size;
	data = malloc(size > 0 ? size : 1);
	if (data == NULL)
		err(1, NULL);
	if (fread(data, 1, size, fp) != size)
		errx(1, "%s: short read", path);
	(void)fclose(fp);
	(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
	inputs++;
}

static void
run_directory(const char *path)
{
	struct dirent *entry;
	char *file;
	DIR *dir;

	dir = opendir(path);
	if (dir == NULL)
		err(1, "%s", path);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&file, "%s/%s", path, entry->d_name) == -1)
			err(1, NULL);
		run_file(file);
		free(file);
	}
	(void)closedir(dir);
}

int
main(int argc, char **argv)
{
	struct stat st;
	int i;

	for (i = 1; i < argc; i++) {
		if (stat(argv[i], &st) == -1)
			err(1, "%s", argv[i]);
		if (S_ISDIR(st.st_mode))
			run_directory(argv[i]);
		else
			run_file(argv[i]);
	}
	if (inputs == 0)
		errx(1, "no input");
	printf("%zu inputs\n", inputs);
	return 0;
}
