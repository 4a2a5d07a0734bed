/* SPDX-License-Identifier: MIT */
// guided.h is valid C++ as well.
#include <guided.h>

int main()
{
    guided_context *context = nullptr;
    guided_model *model = nullptr;
    guided_status status = guided_context_open(&context);

    if (status == GUIDED_OK)
        status = guided_model_open(&model, context, "/nonexistent", nullptr, 0);
    guided_context_close(context);
    return status == GUIDED_EFORMAT && *guided_error() ? 0 : 1;
}
