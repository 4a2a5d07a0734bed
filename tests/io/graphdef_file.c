/* SPDX-License-Identifier: MIT */
/* graphdef_file.c - TensorFlow's GraphDef, written field by field. */
#include "graphdef_file.h"

void put_varint(bytes *to, uint64_t value)
{
    for (; value > 127; value >>= 7)
        put_number(to, 0x80 | (value & 127), 1);
    put_number(to, value, 1);
}

void put_field(bytes *to, int number, bytes content)
{
    put_varint(to, (uint64_t)number << 3 | 2);
    put_varint(to, content.n);
    put(to, content.data, content.n);
    free(content.data);
}

void put_text_field(bytes *to, int number, const char *text)
{
    bytes content = { NULL, 0 };

    put_text(&content, text);
    put_field(to, number, content);
}

void put_integer_field(bytes *to, int number, uint64_t value)
{
    put_varint(to, (uint64_t)number << 3);
    put_varint(to, value);
}

static void put_shape(bytes *to, int rank, const int64_t *dim)
{
    bytes shape = { NULL, 0 };

    for (int i = 0; i < rank; i++) {
        bytes size = { NULL, 0 };
        put_integer_field(&size, 1, (uint64_t)dim[i]);
        put_field(&shape, 2, size);
    }
    put_field(to, 2, shape);
}

bytes make_tensor(int rank, const int64_t *dim, values_as as, int n_values)
{
    bytes tensor = { NULL, 0 }, values = { NULL, 0 };

    put_integer_field(&tensor, 1, 1); /* DT_FLOAT */
    put_shape(&tensor, rank, dim);
    for (int i = 0; i < n_values; i++) {
        const float v = 0.5f + (float)i;
        if (as == AS_LOOSE)
            put_varint(&tensor, 5 << 3 | 5);
        put(as == AS_LOOSE ? &tensor : &values, &v, sizeof v);
    }
    if (as != AS_LOOSE)
        put_field(&tensor, as == AS_CONTENT ? 4 : 5, values);
    return tensor;
}

static void put_attribute(bytes *node, const char *key, int number, bytes content)
{
    bytes value = { NULL, 0 }, pair = { NULL, 0 };

    put_field(&value, number, content);
    put_text_field(&pair, 1, key);
    put_field(&pair, 2, value);
    put_field(node, 5, pair);
}

void put_constant(bytes *to, const char *name, bytes tensor)
{
    bytes node = { NULL, 0 }, type = { NULL, 0 };

    put_text_field(&node, 1, name);
    put_text_field(&node, 2, "Const");
    put_number(&type, 1, 1); /* what a reader of values steps over */
    put_attribute(&node, "dtype", 6, type);
    put_attribute(&node, "value", 8, tensor);
    put_field(to, 1, node);
}

void put_other_node(bytes *to, const char *name, const char *op)
{
    bytes node = { NULL, 0 };

    put_text_field(&node, 1, name);
    put_text_field(&node, 2, op);
    put_text_field(&node, 3, "input");
    put_field(to, 1, node);
}
