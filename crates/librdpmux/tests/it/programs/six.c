/* Protocol 6 from C: two heads, all that can be set, events in their new form, and in the old one after that. Ends after pixels were taken away from under it. */
#include <pthread.h>
#include <sys/mman.h>
#include <rdpmux.h>
static volatile int went_on;
static void kb(uint32_t code, uint32_t flags) { printf("kb %u %u\n", code, flags); fflush(stdout); }
static void mouse(uint32_t x, uint32_t y, uint32_t flags)
{
    printf("mouse %u %u %u\n", x, y, flags);
    fflush(stdout);
    went_on = flags == 0x1000;
}
static void event(const MuxEvent *e, void *data)
{
    assert(data == &went_on);
    printf("event %u head %u at %d %d code %u on %d length %zu\n", e->kind, e->head, e->x, e->y, e->code, e->is_on, e->length);
    fflush(stdout);
    if (e->kind == MUX_EVENT_CLIPBOARD_REQUEST)
        assert(mux_clipboard_give(e->code, "text"));
    if (e->kind == MUX_EVENT_CHARACTER)
        mux_register_event_handler(NULL, NULL);
}
int main(int argc, char **argv)
{
    assert(argc == 2);
    assert(mux_init_display_struct("6f9619ff-8b86-d011-b42d-00cf4fc964ff"));
    assert(mux_allow_protocol(6, MUX_TAKES_CLIPBOARD));
    assert(mux_connect(argv[1]));
    mux_register_event_callbacks((InputEventCallbacks){kb, mouse});
    mux_register_event_handler(event, (void *)&went_on);
    size_t size = 256 * 256 * 4;
    uint32_t *bits = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pixman_image_t *image = pixman_image_create_bits(PIXMAN_x8r8g8b8, 256, 256, bits, 1024);
    mux_display_switch(image);
    mux_head_switch(1, image);
    const uint8_t cursor[4 * 4] = {1, 2, 3, 4};
    mux_set_cursor(1, 2, 2, 1, 1, cursor);
    mux_set_leds(MUX_LOCK_CAPS);
    mux_set_absolute_mouse(false);
    pthread_t loop;
    assert(pthread_create(&loop, NULL, mux_mainloop, NULL) == 0);
    while (!went_on)
        usleep(1000);
    assert(mux_clipboard_offer(true) == 1);
    assert(!mux_sound_rate(48000));
    munmap(bits, size);
    mux_head_update(1, 0, 0, 256, 256);
    assert(mux_head_refresh(1) == 30);
    mux_head_gone(1);
    mux_cleanup(NULL);
    assert(pthread_join(loop, NULL) == 0);
    pixman_image_unref(image);
    puts("alive");
    return 0;
}
