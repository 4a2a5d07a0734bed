/* SPDX-License-Identifier: MIT */
/* Every allocation of every command may fail, once or for ever (reliability class 6). */
#include "fault.h"

static void run_all(const char *kind, int every)
{
    for (int b = 0; b < fault_body_count; b++)
        for (int f = 0; f < fault_of_memory_count; f++)
            for (int persist = 0; persist < 2; persist++)
                if (strcmp(fault_of_memory[f].name, kind) == 0)
                    fault_loop(&fault_bodies[b], &fault_of_memory[f], persist, every);
    assert_int_equal(fault_breaches(), 0);
}

static void blocks_and_arenas(void **state)
{
    (void)state;
    run_all("memory", 1);
}

static void heap_threads_and_mappings(void **state)
{
    (void)state;
    run_all("heap", 499);
}

/* Requests of base/ and of the heap for a whole command */
static void count_requests(const char *line, int64_t *blocks, int64_t *heap)
{
    static const fault nothing = { "nothing", FAULT_HEAP };
    const uint64_t before = gd_allocation_count();

    fault_remove("out.npz");
    fault_arm(&nothing, INT64_MAX, false);
    const gd_status s = fault_run(line);
    *heap = fault_seen();
    fault_disarm();
    *blocks = (int64_t)(gd_allocation_count() - before);
    fault_remove("out.npz");
    if (s != GD_OK)
        fail_msg("%s", gd_error());
}

static void more_steps_take_no_more_memory(void **state)
{
    static const char few[] = "sample --model m.safetensors --classifier c.safetensors --class 1"
                              " --steps 4 --seed 5 -n 2 -t 1 -q -o out.npz",
                      many[] = "sample --model m.safetensors --classifier c.safetensors --class 1"
                               " --steps 9 --seed 5 -n 2 -t 1 -q -o out.npz";
    int64_t blocks[2], heap[2];

    (void)state;
    count_requests(few, &blocks[0], &heap[0]); /* the first makes the kernels */
    count_requests(few, &blocks[0], &heap[0]);
    count_requests(many, &blocks[1], &heap[1]);
    assert_int_equal(blocks[0], blocks[1]);
    assert_int_equal(heap[0], heap[1]);
    print_message("%d blocks and arenas, %d other requests\n", (int)blocks[0], (int)heap[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_and_arenas),
        cmocka_unit_test(heap_threads_and_mappings),
        cmocka_unit_test(more_steps_take_no_more_memory),
    };
    return cmocka_run_group_tests(tests, fault_make_folder, fault_remove_folder);
}
