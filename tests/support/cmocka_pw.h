/* tests/support/cmocka_pw.h - cmocka with the headers it forgets to include. */
#ifndef PW_TESTS_CMOCKA_PW_H
#define PW_TESTS_CMOCKA_PW_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
