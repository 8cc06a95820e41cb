/*
 * A foreign server: the daemon's side of protocol 5, written from docs/librdpmux.md on libczmq, libmsgpack and GLib, so
 * that librdpmux is tried against something that is not ours. It has no viewers: the suite `librdpmux` tells it what to
 * do by lines in a named pipe, and looks at its pictures.
 *
 *   key CODE FLAGS | mouse X Y FLAGS   for the backend
 *   rate N                             what it answers from now on
 *   dump FILE                          the picture as a PPM
 *   random COUNT SEED                  messages that are mostly none, and frames that do not belong
 *   quit
 *
 * It prints `ready`, `register ID VERSION UUID PORT CREDENTIALS`, and `switch FORMAT W H`, `update X Y W H`, `shutdown` for
 * messages, `done WORD` for commands.
 */
#include "wire.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/mman.h>

typedef struct {
    const char *endpoint;
    zsock_t *socket;
    /* The one machine: who speaks for it, and what it shows. */
    char uuid[64];
    int id;
    zframe_t *identity;
    const uint8_t *memory;
    uint8_t *picture;
    uint32_t format;
    int width, height;
    uint64_t rate;
} Server;

static const char INTERFACE[] =
    "<node><interface name='org.RDPMux.RDPMux'><method name='Register'>"
    "<arg type='i' name='id' direction='in'/><arg type='i' name='version' direction='in'/>"
    "<arg type='s' name='uuid' direction='in'/><arg type='q' name='port' direction='in'/>"
    "<arg type='s' name='authFile' direction='in'/><arg type='s' name='socket_path' direction='out'/>"
    "</method><property type='ai' name='SupportedProtocolVersions' access='read'/></interface></node>";

static void on_call(GDBusConnection *bus, const char *sender, const char *path, const char *interface,
                    const char *method, GVariant *arguments, GDBusMethodInvocation *call, void *data)
{
    (void) bus, (void) sender, (void) path, (void) interface, (void) method;
    Server *server = data;
    const char *uuid, *auth;
    guint16 port;
    int version;
    g_variant_get(arguments, "(ii&sq&s)", &server->id, &version, &uuid, &port, &auth);
    snprintf(server->uuid, sizeof server->uuid, "%s", uuid);
    say("register %d %d %s %d %s", server->id, version, uuid, port, auth);
    g_dbus_method_invocation_return_value(call, g_variant_new("(s)", version == 5 ? server->endpoint : ""));
}

static GVariant *on_property(GDBusConnection *bus, const char *sender, const char *path, const char *interface,
                             const char *name, GError **error, void *data)
{
    (void) bus, (void) sender, (void) path, (void) interface, (void) name, (void) error, (void) data;
    return g_variant_new_parsed("[5]");
}

static const GDBusInterfaceVTable TABLE = {.method_call = on_call, .get_property = on_property};

static void on_bus(GDBusConnection *bus, const char *name, void *data)
{
    (void) name;
    GDBusNodeInfo *info = g_dbus_node_info_new_for_xml(INTERFACE, NULL);
    GError *error = NULL;
    if (!g_dbus_connection_register_object(bus, "/org/RDPMux/RDPMux", info->interfaces[0], &TABLE, data, NULL, &error))
        die("cannot export the object: %s", error->message);
}

static void on_name(GDBusConnection *bus, const char *name, void *data)
{
    (void) bus, (void) name, (void) data;
    say("ready");
}

static void on_lost(GDBusConnection *bus, const char *name, void *data)
{
    (void) bus, (void) name, (void) data;
    die("no bus, or somebody else has the name");
}

static void send_frame(Server *server, const char *uuid, zframe_t *frame)
{
    zmsg_t *parts = zmsg_new();
    zframe_t *identity = zframe_dup(server->identity);
    zmsg_append(parts, &identity);
    zmsg_addstr(parts, uuid);
    zmsg_append(parts, &frame);
    zmsg_send(&parts, server->socket);
}

static void send_numbers(Server *server, const uint64_t *numbers, size_t count)
{
    if (server->identity)
        send_frame(server, server->uuid, message(numbers, count));
}

static void on_switch(Server *server, const uint64_t *numbers)
{
    say("switch 0x%lx %lu %lu", numbers[1], numbers[2], numbers[3]);
    if (numbers[2] * numbers[3] * bytes_of(numbers[1]) > MEMORY)
        die("a picture beyond the memory");
    int fd;
    if (!server->memory && !(server->memory = map_memory(server->id, false, &fd)))
        die("the backend's memory cannot be read");
    server->format = numbers[1];
    server->width = numbers[2];
    server->height = numbers[3];
    server->picture = realloc(server->picture, MEMORY);
    memcpy(server->picture, server->memory, (size_t) server->width * server->height * bytes_of(server->format));
}

static void on_update(Server *server, const uint64_t *numbers)
{
    size_t bytes = bytes_of(server->format);
    if (!server->picture)
        return say("early update");
    say("update %lu %lu %lu %lu", numbers[1], numbers[2], numbers[3], numbers[4]);
    for (uint64_t y = numbers[2]; y < numbers[2] + numbers[4] && y < (uint64_t) server->height; y++) {
        uint64_t end = numbers[1] + numbers[3];
        end = end < (uint64_t) server->width ? end : (uint64_t) server->width;
        size_t at = (y * server->width + numbers[1]) * bytes;
        if (numbers[1] < end)
            memcpy(server->picture + at, server->memory + at, (end - numbers[1]) * bytes);
    }
    send_numbers(server, (uint64_t[]) {COMPLETE, 1, server->rate}, 3);
}

static void receive(Server *server)
{
    zmsg_t *parts = zmsg_recv(server->socket);
    if (!parts)
        return;
    uint64_t numbers[8];
    zframe_t *identity = zmsg_first(parts), *uuid = zmsg_next(parts), *body = zmsg_next(parts);
    if (zmsg_size(parts) != 3 || !zframe_streq(uuid, server->uuid))
        say("strange frames");
    else {
        zframe_destroy(&server->identity);
        server->identity = zframe_dup(identity);
        int count = read_message(body, numbers, 8);
        if (count == 5 && numbers[0] == UPDATE)
            on_update(server, numbers);
        else if (count == 4 && numbers[0] == SWITCH)
            on_switch(server, numbers);
        else if (count == 1 && numbers[0] == SHUTDOWN)
            say("shutdown");
        else
            say("strange message of %d numbers", count);
    }
    zmsg_destroy(&parts);
}

static void send_random(Server *server, char *words)
{
    unsigned count, seed;
    if (sscanf(words, "%u %u", &count, &seed) != 2 || !server->identity)
        die("random: %s", words);
    seed_random(seed);
    for (unsigned i = 0; i < count; i++) {
        bool is_other = next_random() % 16 == 0;
        send_frame(server, is_other ? "00000000-0000-0000-0000-000000000000" : server->uuid, random_message());
        while (zsock_events(server->socket) & ZMQ_POLLIN)
            receive(server);
    }
}

static bool obey(Server *server, char *line)
{
    unsigned long a, b, c;
    char path[512];
    if (sscanf(line, "key %lu %lu", &a, &b) == 2)
        send_numbers(server, (uint64_t[]) {KEYBOARD, a, b}, 3);
    else if (sscanf(line, "mouse %lu %lu %lu", &a, &b, &c) == 3)
        send_numbers(server, (uint64_t[]) {MOUSE, a, b, c}, 4);
    else if (sscanf(line, "rate %lu", &a) == 1)
        server->rate = a;
    else if (sscanf(line, "dump %511s", path) == 1) {
        if (!server->picture || !write_ppm(path, server->picture, server->format, server->width, server->height))
            line = "failed";
    } else if (!strncmp(line, "random ", 7))
        send_random(server, line + 7);
    else if (strcmp(line, "quit"))
        die("unknown command %s", line);
    say("done %s", line);
    return strcmp(line, "quit") != 0;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        die("usage: %s COMMANDS ENDPOINT", argv[0]);
    Server server = {.endpoint = argv[2], .rate = 25};
    int commands = open_commands(argv[1]);
    zsys_handler_set(NULL);
    server.socket = zsock_new_router(server.endpoint);
    if (!server.socket)
        die("cannot listen on %s", server.endpoint);
    g_bus_own_name(G_BUS_TYPE_SYSTEM, "org.RDPMux.RDPMux", G_BUS_NAME_OWNER_FLAGS_NONE, on_bus, on_name, on_lost, &server,
                   NULL);
    zpoller_t *poller = zpoller_new(server.socket, &commands, NULL);
    for (bool going = true; going;) {
        while (g_main_context_iteration(NULL, FALSE)) {
        }
        if (zpoller_wait(poller, 10) == server.socket)
            receive(&server);
        for (char *line; going && (line = next_command(commands));)
            going = obey(&server, line);
    }
    zpoller_destroy(&poller);
    zsock_destroy(&server.socket);
    return 0;
}
