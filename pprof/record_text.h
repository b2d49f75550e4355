/* pprof/record_text.h - a record as text, for tests and for looking at one.
 *
 * Purpose  what a record says, without its layout: one line of labels and types per series, then a
 *          line per sample: frames root first, joined by ";", the span if it has one, the values.
 * Owner    the caller owns the text buffer.
 * Context  cold.
 * Units    -
 * Errors   sticky in the text (base/text.h).
 * Limits   the limit of the text.
 */
#ifndef PW_PPROF_RECORD_TEXT_H
#define PW_PPROF_RECORD_TEXT_H

#include "base/text.h"
#include "pprof/record.h"

/* The record has been checked (pw_record_check) or is our own. */
void pw_record_text_cold(const struct pw_record *r, struct pw_text *t);

#endif
