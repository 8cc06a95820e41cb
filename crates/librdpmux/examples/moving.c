/*
 * A machine without a machine: shows a moving picture through rdpmux and echoes what viewers type and point, into the
 * picture and to standard output.
 *
 *   cc moving.c $(pkg-config --cflags --libs librdpmux) -lpthread -o moving
 *   ./moving UUID ID [--port N] [--auth FILE] [--format NAME] [--size WxH] [--frames N] [--still] [--protocol 5|6]
 *
 * Each line of the output is one of: "port asked N", "key CODE FLAGS", "mouse X Y FLAGS", "rate N", "bye".
 * Ends on SIGINT or SIGTERM, or after N frames.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include <rdpmux.h>

static const struct {
    const char *name;
    pixman_format_code_t code;
} formats[] = {
    {"x8r8g8b8", PIXMAN_x8r8g8b8}, {"a8r8g8b8", PIXMAN_a8r8g8b8}, {"r8g8b8a8", PIXMAN_r8g8b8a8},
    {"r8g8b8x8", PIXMAN_r8g8b8x8}, {"r8g8b8", PIXMAN_r8g8b8},     {"b8g8r8", PIXMAN_b8g8r8},
    {"r5g6b5", PIXMAN_r5g6b5},     {"x1r5g5b5", PIXMAN_x1r5g5b5},
};

enum { ECHO = 16, BAR = 8 };

static volatile sig_atomic_t stopping;

/* What was typed last, for the picture. The callbacks run on the thread in mux_mainloop. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t last_key, pointer_x, pointer_y;
static bool echo_is_new;

static void stop(int signal)
{
    (void)signal;
    stopping = 1;
}

static void on_key(uint32_t keycode, uint32_t flags)
{
    printf("key %u %u\n", keycode, flags);
    fflush(stdout);
    pthread_mutex_lock(&lock);
    last_key = flags & 0x8000 ? 0 : keycode;
    echo_is_new = true;
    pthread_mutex_unlock(&lock);
}

static void on_mouse(uint32_t x, uint32_t y, uint32_t flags)
{
    printf("mouse %u %u %u\n", x, y, flags);
    fflush(stdout);
    pthread_mutex_lock(&lock);
    pointer_x = x;
    pointer_y = y;
    echo_is_new = true;
    pthread_mutex_unlock(&lock);
}

static void fill(pixman_image_t *image, uint8_t r, uint8_t g, uint8_t b, int x, int y, int w, int h)
{
    pixman_color_t color = {(uint16_t)(r * 257), (uint16_t)(g * 257), (uint16_t)(b * 257), 0xFFFF};
    pixman_box32_t box = {x, y, x + w, y + h};
    pixman_image_fill_boxes(PIXMAN_OP_SRC, image, &color, 1, &box);
}

/* Eight columns of colours on the lower half; the upper half is black. */
static void draw_ground(pixman_image_t *image, int width, int height)
{
    fill(image, 0, 0, 0, 0, 0, width, height);
    for (int column = 0; column < 8; column++) {
        int left = width * column / 8, right = width * (column + 1) / 8;
        fill(image, column & 4 ? 255 : 0, column & 2 ? 255 : 0, column & 1 ? 255 : 0, left, height / 2, right - left,
             height - height / 2);
    }
}

/* A bar that goes from left to right through the upper half. */
static void move_bar(pixman_image_t *image, int width, int height, long frame)
{
    int steps = width > BAR ? width - BAR : 1;
    int before = (int)((frame + steps - 1) % steps), now = (int)(frame % steps);
    fill(image, 0, 0, 0, before, ECHO, BAR, height / 2 - ECHO);
    fill(image, 255, 255, 255, now, ECHO, BAR, height / 2 - ECHO);
    mux_display_update(before, ECHO, BAR, height / 2 - ECHO);
    mux_display_update(now, ECHO, BAR, height / 2 - ECHO);
}

/* The key's code in binary in the top left corner, and the pointer's column and row on the edges. */
static void draw_echo(pixman_image_t *image, int width, int height)
{
    pthread_mutex_lock(&lock);
    uint32_t key = last_key, x = pointer_x, y = pointer_y;
    bool is_new = echo_is_new;
    echo_is_new = false;
    pthread_mutex_unlock(&lock);
    if (!is_new)
        return;
    for (int bit = 0; bit < 8 && (bit + 1) * ECHO <= width; bit++)
        fill(image, key >> (7 - bit) & 1 ? 255 : 64, 64, 64, bit * ECHO, 0, ECHO, ECHO / 2);
    fill(image, 0, 0, 0, 0, ECHO / 2, width, ECHO / 2);
    if ((int)x < width && (int)y < height)
        fill(image, 0, 255, 255, (int)x, ECHO / 2, 1, ECHO / 2);
    mux_display_update(0, 0, width, ECHO);
}

static int usage(void)
{
    fprintf(stderr, "usage: moving UUID ID [--port N] [--auth FILE] [--format NAME] [--size WxH] [--frames N] [--still]"
                    " [--protocol 5|6]\n");
    return 64;
}

int main(int argc, char **argv)
{
    pixman_format_code_t format = PIXMAN_x8r8g8b8;
    int width = 640, height = 480, port = 0, protocol = 5;
    const char *auth = NULL;
    bool is_still = false;
    long frames = -1;
    if (argc < 3)
        return usage();
    for (int at = 3; at < argc; at++) {
        const char *option = argv[at];
        if (strcmp(option, "--still") == 0) {
            is_still = true;
            continue;
        }
        if (++at == argc)
            return usage();
        if (strcmp(option, "--port") == 0) {
            port = atoi(argv[at]);
        } else if (strcmp(option, "--auth") == 0) {
            auth = argv[at];
        } else if (strcmp(option, "--frames") == 0) {
            frames = atol(argv[at]);
        } else if (strcmp(option, "--protocol") == 0) {
            protocol = atoi(argv[at]);
        } else if (strcmp(option, "--size") == 0) {
            if (sscanf(argv[at], "%dx%d", &width, &height) != 2 || width < 16 || height < 64)
                return usage();
        } else if (strcmp(option, "--format") == 0) {
            size_t row = 0;
            while (row < sizeof formats / sizeof *formats && strcmp(formats[row].name, argv[at]) != 0)
                row++;
            if (row == sizeof formats / sizeof *formats)
                return usage();
            format = formats[row].code;
        } else {
            return usage();
        }
    }

    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    MuxDisplay *display = mux_init_display_struct(argv[1]);
    if (!display)
        return 1;
    if (protocol != 5 && !mux_allow_protocol(protocol, 0))
        return 1;
    char *path = NULL;
    if (!mux_get_socket_path("org.RDPMux.RDPMux", "/org/RDPMux/RDPMux", &path, atoi(argv[2]), (uint16_t)port, auth))
        return 1;
    printf("port asked %d\n", port);
    fflush(stdout);
    if (!mux_connect(path))
        return 1;
    free(path);
    mux_register_event_callbacks((InputEventCallbacks){on_key, on_mouse});
    pthread_t loop;
    if (pthread_create(&loop, NULL, mux_mainloop, NULL) != 0)
        return 1;

    pixman_image_t *image = pixman_image_create_bits(format, width, height, NULL, 0);
    if (!image)
        return 1;
    draw_ground(image, width, height);
    mux_display_switch(image);
    uint32_t rate = 0;
    for (long frame = 0; !stopping && frame != frames; frame++) {
        if (!is_still)
            move_bar(image, width, height, frame);
        draw_echo(image, width, height);
        uint32_t wanted = mux_display_refresh();
        if (wanted != rate) {
            rate = wanted;
            printf("rate %u\n", rate);
            fflush(stdout);
        }
        struct timespec pause = {rate > 1 ? 0 : 1, rate > 1 ? 1000000000L / rate : 0};
        nanosleep(&pause, NULL);
    }
    mux_cleanup(display);
    pthread_join(loop, NULL);
    pixman_image_unref(image);
    printf("bye\n");
    return 0;
}
