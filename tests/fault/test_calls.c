/* SPDX-License-Identifier: MIT */
/* Every system call of every command may fail, or move less than it should (classes 7, 8, 12). */
#include "fault.h"

static void every_call_of_every_command(void **state)
{
    (void)state;
    for (int b = 0; b < fault_body_count; b++)
        for (int f = 0; f < fault_of_calls_count; f++)
            for (int persist = 0; persist < 2; persist++)
                fault_loop(&fault_bodies[b], &fault_of_calls[f], persist, 3);
    assert_int_equal(fault_breaches(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_call_of_every_command) };
    return cmocka_run_group_tests(tests, fault_make_folder, fault_remove_folder);
}
