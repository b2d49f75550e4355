/* Alone in its file, because only this one has to be compiled again for every commit. */
#include "app/config_help.h"

#ifndef PW_VERSION
#error "meson gives -DPW_VERSION, -DPW_REVISION and -DPW_BRANCH"
#endif

const struct pw_build *
pw_build_info(void)
{
    static const struct pw_build build = {PW_VERSION, PW_REVISION, PW_BRANCH};

    return &build;
}
