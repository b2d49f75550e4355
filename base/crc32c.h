/* base/crc32c.h - CRC-32C (Castagnoli), the checksum of WAL records and of every part of a block.
 *
 * Purpose  detect torn and flipped bytes.
 * Owner    pure function.
 * Context  any; by the CPU's own instruction where the build has it (8 bytes a step).
 * Units    bytes.
 * Errors   -
 * Limits   -
 */
#ifndef PW_BASE_CRC32C_H
#define PW_BASE_CRC32C_H

#include "base/types.h"

/* Continues `crc` (0 for a start) over len bytes: crc(a ++ b) = pw_crc32c(pw_crc32c(0, a), b). */
uint32_t pw_crc32c(uint32_t crc, const void *data, size_t len);

/* The same without the instruction, a table a byte; for builds without it and for tests. */
uint32_t pw_crc32c_table(uint32_t crc, const void *data, size_t len);

#endif
