// guided.h is valid C++ as well.
#include <guided.h>

int main()
{
    gd_model *model = nullptr;
    const gd_status status = gd_model_open(&model, "/nonexistent", nullptr, 0);

    return status == GD_EFORMAT && *gd_error() ? 0 : 1;
}
