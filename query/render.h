/* query/render.h - the plain HTTP queries: /pyroscope/render, render-diff, label-values.
 *
 * Purpose  contract read-path.md 1.2 and 3.5.
 * Owner    one query's arena.
 * Context  cold.
 * Units    seconds in timelines, ms elsewhere.
 * Errors   in the call.
 * Limits   PW_RENDER_SAMPLES_MAX samples of one timeline.
 */
#ifndef PW_QUERY_RENDER_H
#define PW_QUERY_RENDER_H

#include "query/call.h"

enum { PW_RENDER_SAMPLES_MAX = 100000 };

/* The step of a timeline over so many ms, in ms. */
int64_t pw_render_step_ms(int64_t range_ms);

/* GET handlers. */
int pw_render(struct pw_call *c, struct pw_query_reply *rep);
int pw_render_diff(struct pw_call *c, struct pw_query_reply *rep);
int pw_render_label_values(struct pw_call *c, struct pw_query_reply *rep);

#endif
