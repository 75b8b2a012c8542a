/* A system without nf_tables: "nft": true is refused there, fw never starts. */

#include <errno.h>

#include "egressd/fw.h"

int
fw_socket(void)
{
	errno = ENOSYS;
	return -1;
}

struct fw_nft *
fw_nft_new(int fd, const struct fw_base *base)
{
	errno = ENOSYS;
	return NULL;
}

int
fw_nft_claim(struct fw_nft *nft)
{
	errno = ENOSYS;
	return -1;
}

int
fw_nft_apply(struct fw_nft *nft, const struct fw_runs *runs)
{
	errno = ENOSYS;
	return -1;
}

int
fw_nft_permit(struct fw_nft *nft, const struct fw_run *run)
{
	errno = ENOSYS;
	return -1;
}

int
fw_nft_revoke(struct fw_nft *nft, const struct fw_run *run)
{
	errno = ENOSYS;
	return -1;
}

enum fw_look
fw_nft_look(struct fw_nft *nft, struct fw_runs *runs, struct fw_counts *counts,
    char detail[FW_DETAIL_MAX + 1])
{
	errno = ENOSYS;
	return FW_LOOK_FAILED;
}
