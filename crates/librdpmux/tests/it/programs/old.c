/* Declares and calls every function of the old header, as old programs do. */
#include <rdpmux.h>
static void kb(uint32_t keycode, uint32_t flags) { (void)keycode; (void)flags; }
static void mouse(uint32_t x, uint32_t y, uint32_t flags) { (void)x; (void)y; (void)flags; }
int main(void)
{
    InputEventCallbacks cb = { .mux_receive_kb = kb, .mux_receive_mouse = mouse };
    char *path = NULL;
    MuxDisplay *display = mux_init_display_struct("6f9619ff-8b86-d011-b42d-00cf4fc964ff");
    assert(display != NULL);
    bool (*get)(const char *, const char *, char **, int, uint16_t, const char *) = mux_get_socket_path;
    bool (*con)(const char *) = mux_connect;
    void *(*loop)(void *) = mux_mainloop;
    void *(*buffer)(void *) = mux_display_buffer_update_loop;
    void (*sw)(pixman_image_t *) = mux_display_switch;
    uint32_t (*refresh)() = mux_display_refresh;
    mux_register_event_callbacks(cb);
    mux_out_loop();
    assert(buffer(NULL) == NULL && get && con && loop && sw && refresh && path == NULL);
    mux_display_update(0, 0, 1, 1);
    mux_cleanup(display);
    return 0;
}
