/*
 * A foreign backend: a hypervisor's side of protocol 5, written from docs/librdpmux.md on libczmq, libmsgpack and GLib.
 * Registers over D-Bus, shows test pictures and prints what comes back. The suite `librdpmux` tells it what to do by
 * lines in a named pipe:
 *
 *   show FORMAT W H SEED FILE   a picture in that format, as DISPLAY_SWITCH; what it must look like goes to FILE
 *   box X Y W H RRGGBB FILE     fills a box and says so by DISPLAY_UPDATE
 *   play | stop                 noise all over, one picture per answer, at the rate that the daemon names
 *   send N...                   a message of these numbers
 *   flood COUNT                 updates of the whole picture, one after the other, without waiting for answers
 *   random COUNT SEED           messages that are mostly none, and frames that do not belong
 *   shrink                      cuts the memory to one page
 *   quit                        SHUTDOWN, and ends
 *
 * It prints `path P`, `refused` or `error E` for the registration, `kb CODE FLAGS`, `mouse X Y FLAGS` and `complete OK RATE`
 * for messages, `done WORD` for commands.
 */
#include "wire.h"

#include <gio/gio.h>
#include <sys/mman.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *uuid;
    zsock_t *socket;
    uint8_t *memory;
    int memory_fd;
    pixman_format_code_t format;
    int width, height;
    /* Playing: whether an answer is owed, and when the next picture is due. */
    bool plays, owed;
    int64_t due;
    uint64_t rate, pictures, last_rate;
} Backend;

static void send_frame(Backend *backend, zframe_t *frame)
{
    zmsg_t *parts = zmsg_new();
    zmsg_addstr(parts, backend->uuid);
    zmsg_append(parts, &frame);
    zmsg_send(&parts, backend->socket);
}

static void send_numbers(Backend *backend, const uint64_t *numbers, size_t count)
{
    send_frame(backend, message(numbers, count));
}

static void send_update(Backend *backend, int x, int y, int width, int height)
{
    send_numbers(backend, (uint64_t[]) {UPDATE, x, y, width, height}, 5);
}

/* Puts a picture of 0xRRGGBB pixels into the memory at (x, y), in the memory's format. */
static void put(Backend *backend, const uint32_t *pixels, int x, int y, int width, int height)
{
    size_t bytes = bytes_of(backend->format), stride = (width * bytes + 3) & ~(size_t) 3;
    uint8_t *rows = g_malloc0_n(stride, height);
    pixman_image_t *from =
        pixman_image_create_bits(PIXMAN_x8r8g8b8, width, height, (uint32_t *) pixels, width * 4);
    pixman_image_t *to = pixman_image_create_bits(backend->format, width, height, (uint32_t *) rows, stride);
    pixman_image_composite32(PIXMAN_OP_SRC, from, NULL, to, 0, 0, 0, 0, 0, 0, width, height);
    for (int row = 0; row < height; row++)
        memcpy(backend->memory + ((size_t) (y + row) * backend->width + x) * bytes, rows + row * stride, width * bytes);
    pixman_image_unref(from);
    pixman_image_unref(to);
    g_free(rows);
}

/* Colour ramps, hard edges and single pixels, different for each seed. */
static void draw(Backend *backend, uint32_t seed)
{
    int width = backend->width, height = backend->height;
    uint32_t *pixels = g_malloc0_n((size_t) width * 4, height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint32_t red = x * 255 / width, green = y * 255 / height, blue = (x / 32 + y / 32 + seed) % 2 ? 224 : 32;
            bool is_dot = (x * 7 + y * 13 + seed) % 97 == 0;
            pixels[y * width + x] = is_dot ? 0xffffff : red << 16 | green << 8 | blue;
        }
    put(backend, pixels, 0, 0, width, height);
    g_free(pixels);
}

static void show(Backend *backend, char *words)
{
    char name[16], path[512];
    unsigned seed;
    if (sscanf(words, "%15s %d %d %u %511s", name, &backend->width, &backend->height, &seed, path) != 5)
        die("show: %s", words);
    backend->format = format_of(name);
    if (!backend->format || (size_t) backend->width * backend->height * 4 > MEMORY)
        die("show: %s", words);
    draw(backend, seed);
    if (!write_ppm(path, backend->memory, backend->format, backend->width, backend->height))
        die("cannot write %s", path);
    send_numbers(backend, (uint64_t[]) {SWITCH, backend->format, backend->width, backend->height}, 4);
}

static void box(Backend *backend, char *words)
{
    char path[512];
    int x, y, width, height;
    unsigned colour;
    if (sscanf(words, "%d %d %d %d %x %511s", &x, &y, &width, &height, &colour, path) != 6)
        die("box: %s", words);
    uint32_t *pixels = g_malloc0_n((size_t) width * 4, height);
    for (int i = 0; i < width * height; i++)
        pixels[i] = colour;
    put(backend, pixels, x, y, width, height);
    g_free(pixels);
    if (!write_ppm(path, backend->memory, backend->format, backend->width, backend->height))
        die("cannot write %s", path);
    send_update(backend, x, y, width, height);
}

static void play(Backend *backend, int64_t now)
{
    uint32_t *words = (uint32_t *) backend->memory;
    size_t count = (size_t) backend->width * backend->height * bytes_of(backend->format) / 4;
    for (size_t i = 0; i < count; i++)
        words[i] = next_random() & 0x7f7f7f7f;
    send_update(backend, 0, 0, backend->width, backend->height);
    backend->owed = true;
    backend->pictures++;
    backend->due = now + 1000 / (backend->rate ? backend->rate : 1);
}

static void receive(Backend *backend);

static void send_random(Backend *backend, char *words)
{
    unsigned count, seed;
    if (sscanf(words, "%u %u", &count, &seed) != 2)
        die("random: %s", words);
    seed_random(seed);
    for (unsigned i = 0; i < count; i++) {
        zmsg_t *parts = zmsg_new();
        uint32_t kind = next_random() % 16;
        if (kind == 0)
            zmsg_addstr(parts, "00000000-0000-0000-0000-000000000000");
        else if (kind == 1)
            zmsg_addmem(parts, NULL, 0);
        else if (kind != 2)
            zmsg_addstr(parts, backend->uuid);
        zframe_t *frame = random_message();
        zmsg_append(parts, &frame);
        if (kind == 3)
            zmsg_addstr(parts, "one too many");
        zmsg_send(&parts, backend->socket);
        while (zsock_events(backend->socket) & ZMQ_POLLIN)
            receive(backend);
    }
}

static void flood(Backend *backend, char *words)
{
    unsigned count;
    if (sscanf(words, "%u", &count) != 1)
        die("flood: %s", words);
    for (unsigned i = 0; i < count; i++) {
        send_update(backend, 0, 0, backend->width, backend->height);
        while (zsock_events(backend->socket) & ZMQ_POLLIN)
            zmsg_destroy(&(zmsg_t *) {zmsg_recv(backend->socket)});
    }
}

static void send_words(Backend *backend, char *words)
{
    uint64_t numbers[16];
    size_t count = 0;
    for (char *word = strtok(words, " "); word && count < 16; word = strtok(NULL, " "))
        numbers[count++] = strtoull(word, NULL, 0);
    send_numbers(backend, numbers, count);
}

/* Whether to go on. */
static bool obey(Backend *backend, char *line)
{
    char *words = strchr(line, ' ');
    if (words)
        *words++ = 0;
    if (!strcmp(line, "show"))
        show(backend, words);
    else if (!strcmp(line, "box"))
        box(backend, words);
    else if (!strcmp(line, "play"))
        backend->plays = true, backend->owed = false, backend->due = 0;
    else if (!strcmp(line, "stop"))
        backend->plays = false;
    else if (!strcmp(line, "send"))
        send_words(backend, words);
    else if (!strcmp(line, "random"))
        send_random(backend, words);
    else if (!strcmp(line, "flood"))
        flood(backend, words);
    else if (!strcmp(line, "shrink"))
        line = ftruncate(backend->memory_fd, 4096) ? "failed" : line;
    else if (!strcmp(line, "quit"))
        send_numbers(backend, (uint64_t[]) {SHUTDOWN}, 1);
    else
        die("unknown command %s", line);
    say("done %s", line);
    return strcmp(line, "quit") != 0;
}

static void receive(Backend *backend)
{
    zmsg_t *parts = zmsg_recv(backend->socket);
    if (!parts)
        return;
    uint64_t numbers[8];
    zframe_t *uuid = zmsg_first(parts), *body = zmsg_next(parts);
    if (zmsg_size(parts) != 2 || !zframe_streq(uuid, backend->uuid))
        say("strange frames");
    else {
        int count = read_message(body, numbers, 8);
        if (count == 3 && numbers[0] == KEYBOARD)
            say("kb %lu %lu", numbers[1], numbers[2]);
        else if (count == 4 && numbers[0] == MOUSE)
            say("mouse %lu %lu %lu", numbers[1], numbers[2], numbers[3]);
        else if (count == 3 && numbers[0] == COMPLETE) {
            backend->owed = false;
            backend->rate = numbers[2];
            /* One line for each picture would be the whole log. */
            if (!backend->plays || backend->rate != backend->last_rate)
                say("complete %lu %lu after %lu", numbers[1], numbers[2], backend->pictures);
            backend->last_rate = backend->rate;
        } else
            say("strange message of %d numbers", count);
    }
    zmsg_destroy(&parts);
}

static GDBusProxy *find_daemon(const char *name, const char *object)
{
    GError *error = NULL;
    GDBusProxy *proxy = g_dbus_proxy_new_for_bus_sync(G_BUS_TYPE_SYSTEM, G_DBUS_PROXY_FLAGS_NONE, NULL, name, object,
                                                      "org.RDPMux.RDPMux", NULL, &error);
    if (!proxy)
        die("no daemon on the bus: %s", error->message);
    GVariant *versions = g_dbus_proxy_get_cached_property(proxy, "SupportedProtocolVersions");
    if (!versions || !g_variant_is_of_type(versions, G_VARIANT_TYPE("ai")) || g_variant_n_children(versions) == 0)
        die("the daemon names no protocol versions");
    int first;
    g_variant_get_child(versions, 0, "i", &first);
    say("versions %d of %lu", first, g_variant_n_children(versions));
    return proxy;
}

static char *enrol(GDBusProxy *proxy, int id, int version, const char *uuid, int port, const char *auth)
{
    GError *error = NULL;
    GVariant *arguments = g_variant_new("(iisqs)", id, version, uuid, (guint16) port, auth);
    GVariant *answer = g_dbus_proxy_call_sync(proxy, "Register", arguments, G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
    char *path = NULL;
    if (!answer) {
        say("error %s", error->message);
        exit(2);
    }
    g_variant_get(answer, "(s)", &path);
    if (!*path) {
        say("refused");
        exit(3);
    }
    say("path %s", path);
    return path;
}

static void run(Backend *backend, int commands)
{
    zpoller_t *poller = zpoller_new(backend->socket, &commands, NULL);
    for (bool going = true; going;) {
        int64_t now = zclock_mono();
        if (backend->plays && !backend->owed && now >= backend->due)
            play(backend, now);
        int64_t wait = backend->plays && !backend->owed ? backend->due - now : 100;
        void *which = zpoller_wait(poller, wait < 0 ? 0 : wait > 100 ? 100 : wait);
        if (which == backend->socket)
            receive(backend);
        for (char *line; going && (line = next_command(commands));)
            going = obey(backend, line);
    }
    zpoller_destroy(&poller);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        die("usage: %s COMMANDS ID UUID [PORT [CREDENTIALS [VERSION [NAME OBJECT]]]]", argv[0]);
    Backend backend = {.uuid = argv[3], .rate = 30};
    int id = atoi(argv[2]);
    GDBusProxy *proxy = find_daemon(argc > 8 ? argv[7] : "org.RDPMux.RDPMux", argc > 8 ? argv[8] : "/org/RDPMux/RDPMux");
    char *path = enrol(proxy, id, argc > 6 ? atoi(argv[6]) : 5, backend.uuid, argc > 4 ? atoi(argv[4]) : 0,
                       argc > 5 ? argv[5] : "");
    backend.memory = map_memory(id, true, &backend.memory_fd);
    if (!backend.memory)
        die("no shared memory");
    zsys_handler_set(NULL);
    backend.socket = zsock_new_dealer(path);
    if (!backend.socket)
        die("cannot connect to %s", path);
    run(&backend, open_commands(argv[1]));
    zsock_destroy(&backend.socket);
    g_free(path);
    g_object_unref(proxy);
    char name[32];
    snprintf(name, sizeof name, "/%d.rdpmux", id);
    shm_unlink(name);
    return 0;
}
