/*
 * librdpmux: shows a virtual machine's screen through rdpmux and takes its input.
 *
 * Order of calls: mux_init_display_struct, mux_get_socket_path, mux_connect, mux_register_event_callbacks, then a
 * thread that runs mux_mainloop. From the display's own thread: mux_display_switch for the first picture and for each
 * new size or format, mux_display_update for what changed, mux_display_refresh once per frame. mux_cleanup ends it.
 *
 * No function blocks on the daemon but mux_get_socket_path (10 s at most) and mux_cleanup (2 s). All may be called
 * from any thread, also from the callbacks. What goes wrong is told on standard error and by the return value; no wrong
 * order of calls is fatal.
 */
#ifndef SHIM_EXTERNAL_H
#define SHIM_EXTERNAL_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<glib.h>)
#include <glib.h>
#endif
#endif
#include <pixman.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is called when somebody types or points, by the thread in mux_mainloop. Either may be NULL. */
typedef struct InputEventCallbacks {
    /* keycode: code of PC/AT set 1 in 7 bits. flags: 0x4000 down, 0x8000 up, 0x0100 the code has the prefix E0. */
    void (*mux_receive_kb)(uint32_t keycode, uint32_t flags);
    /*
     * x, y: pixels. flags: 0x0800 motion; 0x8000 down (else up) with 0x1000 left, 0x2000 right or 0x4000 middle button;
     * 0x0200 the wheel, 0x0400 the horizontal one, turned by the low 9 bits (two's complement, 120 a notch).
     */
    void (*mux_receive_mouse)(uint32_t x, uint32_t y, uint32_t flags);
} InputEventCallbacks;

typedef struct mux_display MuxDisplay;

/* This part of the picture changed. Costs nothing: parts are joined until the next refresh. */
void mux_display_update(int x, int y, int w, int h);

/*
 * The picture has another size or format, or is elsewhere in memory. The pixels (not the pixman_image_t) have to stay
 * where they are until the next switch or mux_cleanup.
 */
void mux_display_switch(pixman_image_t *surface);

/*
 * Hands over what changed, unless the daemon still copies the last change: then it waits for the next call, so that no
 * viewer sees half a picture. Returns the frames per second that are of use now: 1 while nobody looks.
 */
uint32_t mux_display_refresh();

/* Takes input and answers until mux_cleanup; returns NULL. To be given to pthread_create. */
void *mux_mainloop(void *arg);

/* Do nothing; older versions had work for them. */
void mux_out_loop();
void *mux_display_buffer_update_loop(void *arg);

void mux_register_event_callbacks(InputEventCallbacks cb);

/* uuid: 36 characters. NULL if it is none. There is one display per process; a second call ends the first. */
MuxDisplay *mux_init_display_struct(const char *uuid);

/* path: what mux_get_socket_path gave. */
bool mux_connect(const char *path);

/*
 * Registers the machine over D-Bus. name, obj: of the daemon, "org.RDPMux.RDPMux" and "/org/RDPMux/RDPMux". id: 0 to
 * INT_MAX, unique per host. port: of the machine's own RDP server, 0 for the first free one. auth: path of a SAM file, NULL
 * or empty for none. out_path is to be freed with free(). The system bus is that of DBUS_SYSTEM_BUS_ADDRESS if set.
 */
bool mux_get_socket_path(const char *name, const char *obj, char **out_path, int id, uint16_t port, const char *auth);

/* Takes leave of the daemon, ends mux_mainloop and frees everything. NULL means the one display. */
void mux_cleanup(MuxDisplay *display);

/*
 * Not in older versions: makes the screen's shared memory readable for a group, for a daemon that is not root. Before
 * the first mux_display_switch. The variable RDPMUX_GROUP (a number, or a name in /etc/group) does the same.
 */
bool mux_set_memory_group(uint32_t gid);

/*
 * From here on: what protocol 6 adds. Nothing of it counts before mux_allow_protocol(6, ...), which comes between
 * mux_init_display_struct and mux_get_socket_path; the daemon may still know protocol 5 only, then it is spoken.
 * Protocol 6 has pictures of up to 8192 x 8192 pixels and 16 heads; the functions above are those of head 0.
 */

/* What the program takes: bits for mux_allow_protocol. */
#define MUX_TAKES_CLIPBOARD 1u
#define MUX_TAKES_SOUND 2u
#define MUX_TAKES_MICROPHONE 4u
#define MUX_TAKES_CHARACTERS 8u
#define MUX_TAKES_SIZES 16u

/* The newest protocol that may be spoken, 5 or 6. */
bool mux_allow_protocol(int version, uint32_t takes);

enum MuxEventKind {
    MUX_EVENT_KEY = 1,           /* code: QEMU's number (set 1 in 7 bits, plus 128 with prefix E0); is_on: down */
    MUX_EVENT_MOTION = 2,        /* head, x, y: the pointer is there */
    MUX_EVENT_MOTION_BY = 3,     /* head, x, y: the mouse moved by so much */
    MUX_EVENT_BUTTON = 4,        /* head, x, y; code: 1 left, 2 right, 3 middle, 4 side, 5 extra; is_on: down */
    MUX_EVENT_WHEEL = 5,         /* head; y away from the user, x to the right, in 1/120 notch */
    MUX_EVENT_CHARACTER = 6,     /* code: Unicode */
    MUX_EVENT_LOCKS = 7,         /* code: bits of lock keys that should be on */
    MUX_EVENT_SIZE = 8,          /* head, x, y, width, height, width_mm, height_mm: a wish; width 0: off */
    MUX_EVENT_CLIPBOARD_OFFER = 9,    /* code: serial; is_on: viewers have text */
    MUX_EVENT_CLIPBOARD_REQUEST = 10, /* code: serial of the guest's offer that a viewer pastes */
    MUX_EVENT_CLIPBOARD_TEXT = 11,    /* code: serial; data, length: UTF-8 without a NUL; data NULL: not to be had */
    MUX_EVENT_MICROPHONE = 12,   /* code: frames per second; data, length: 16 bits, left and right in turn */
};

/* Bits of lock keys. */
#define MUX_LOCK_SCROLL 1u
#define MUX_LOCK_NUM 2u
#define MUX_LOCK_CAPS 4u

typedef struct MuxEvent {
    uint32_t kind;
    uint32_t head;
    int32_t x;
    int32_t y;
    uint32_t code;
    bool is_on;
    uint32_t width;
    uint32_t height;
    uint32_t width_mm;
    uint32_t height_mm;
    const uint8_t *data; /* only during the call */
    size_t length;
} MuxEvent;

/* Has all events told to handler, of both protocols, in the place of the callbacks above. NULL: to those again. */
void mux_register_event_handler(void (*handler)(const MuxEvent *event, void *data), void *data);

/* As the functions without a number. Head 0 is always there; a head appears with its first switch. */
void mux_head_switch(uint32_t head, pixman_image_t *surface);
void mux_head_update(uint32_t head, int x, int y, int w, int h);
uint32_t mux_head_refresh(uint32_t head);
void mux_head_gone(uint32_t head);

/* The pointer's picture: B, G, R, A bytes, not premultiplied, 1024 x 1024 at most. NULL: hidden. */
void mux_set_cursor(uint32_t head, uint32_t w, uint32_t h, uint32_t hot_x, uint32_t hot_y, const uint8_t *bgra);

/* The guest's lights, and whether it takes positions of the mouse (as it does unless said) or motions. */
void mux_set_leds(uint32_t lit);
void mux_set_absolute_mouse(bool absolute);

/* The guest copied: the serial of its offer, 0 if the daemon takes none. It pastes. It answers; NULL: not to be had. */
uint32_t mux_clipboard_offer(bool has_text);
bool mux_clipboard_request(uint32_t serial);
bool mux_clipboard_give(uint32_t serial, const char *utf8);

/* What the machine plays: 16 bits, little-endian, left and right in turn, 32 KiB at once. rate: frames per second. */
bool mux_sound_rate(uint32_t rate);
bool mux_sound_play(const uint8_t *samples, size_t length);
bool mux_sound_volume(uint16_t left, uint16_t right);
/* The machine records, 0: not any more. MUX_EVENT_MICROPHONE follows. */
bool mux_sound_record(uint32_t rate);

#ifdef __cplusplus
}
#endif

#endif /* SHIM_EXTERNAL_H */
