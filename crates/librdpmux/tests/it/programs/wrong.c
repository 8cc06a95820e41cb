/* Wrong calls; the process has to live through all of them. */
#include <rdpmux.h>
int main(void)
{
    char *path = NULL;
    pixman_image_t *image = pixman_image_create_bits(PIXMAN_x8r8g8b8, 64, 64, NULL, 0);
    pixman_image_t *gray = pixman_image_create_bits(PIXMAN_a8, 64, 64, NULL, 0);
    mux_display_update(0, 0, 1, 1);
    mux_display_switch(image);
    assert(mux_display_refresh() == 30);
    assert(mux_mainloop(NULL) == NULL);
    assert(!mux_connect("ipc://@/tmp/nobody"));
    assert(!mux_get_socket_path("a.b", "/a", &path, 1, 0, NULL));
    mux_cleanup(NULL);
    assert(mux_init_display_struct(NULL) == NULL);
    assert(mux_init_display_struct("6f9619ff-8b86-d011-b42d-00cf4fc964f") == NULL);
    MuxDisplay *display = mux_init_display_struct("6f9619ff-8b86-d011-b42d-00cf4fc964ff");
    assert(display);
    assert(mux_mainloop(NULL) == NULL);
    assert(mux_display_refresh() == 30);
    mux_display_update(0, 0, 1, 1);
    mux_display_switch(NULL);
    mux_display_switch(gray);
    mux_display_switch(image);
    mux_display_update(0, 0, -1, 1);
    assert(!mux_connect(NULL) && !mux_connect("") && !mux_connect("ipc://@/tmp/nobody-there"));
    assert(!mux_get_socket_path(NULL, "/a", &path, 1, 0, NULL));
    assert(!mux_get_socket_path("a.b", NULL, &path, 1, 0, NULL));
    assert(!mux_get_socket_path("a.b", "/a", NULL, 1, 0, NULL));
    assert(!mux_get_socket_path("org.RDPMux.RDPMux", "/a", &path, -1, 0, NULL));
    assert(!mux_get_socket_path("no name", "no path", &path, 1, 0, NULL));
    assert(!mux_allow_protocol(7, 0));
    mux_cleanup((MuxDisplay *)image);
    mux_cleanup(display);
    mux_cleanup(display);
    mux_display_update(0, 0, 1, 1);
    pixman_image_unref(image);
    pixman_image_unref(gray);
    puts("alive");
    return 0;
}
