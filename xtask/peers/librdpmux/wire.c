/* See wire.h. */
#include "wire.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name;
    pixman_format_code_t code;
} FORMATS[] = {
    {"r8g8b8a8", PIXMAN_r8g8b8a8}, {"r8g8b8x8", PIXMAN_r8g8b8x8}, {"a8r8g8b8", PIXMAN_a8r8g8b8},
    {"x8r8g8b8", PIXMAN_x8r8g8b8}, {"r8g8b8", PIXMAN_r8g8b8},     {"b8g8r8", PIXMAN_b8g8r8},
    {"r5g6b5", PIXMAN_r5g6b5},     {"x1r5g5b5", PIXMAN_x1r5g5b5},
};

pixman_format_code_t format_of(const char *name)
{
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++)
        if (strcmp(FORMATS[i].name, name) == 0)
            return FORMATS[i].code;
    return 0;
}

size_t bytes_of(uint32_t code)
{
    return PIXMAN_FORMAT_BPP(code) / 8;
}

uint8_t *map_memory(int id, bool make, int *fd)
{
    char name[32];
    snprintf(name, sizeof name, "/%d.rdpmux", id);
    if (make)
        shm_unlink(name);
    *fd = shm_open(name, make ? O_CREAT | O_EXCL | O_RDWR : O_RDONLY, S_IRUSR | S_IWUSR);
    if (*fd < 0 || (make && ftruncate(*fd, MEMORY) != 0))
        return NULL;
    void *memory = mmap(NULL, MEMORY, make ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, *fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

bool write_ppm(const char *path, const uint8_t *memory, uint32_t format, int width, int height)
{
    size_t row = (size_t) width * bytes_of(format), stride = (row + 3) & ~(size_t) 3;
    uint8_t *copy = g_malloc0_n(stride, height);
    uint32_t *shown = g_malloc0_n((size_t) width * 4, height);
    for (int y = 0; y < height; y++)
        memcpy(copy + y * stride, memory + y * row, row);
    pixman_image_t *from = pixman_image_create_bits(format, width, height, (uint32_t *) copy, stride);
    pixman_image_t *to = pixman_image_create_bits(PIXMAN_x8r8g8b8, width, height, shown, width * 4);
    FILE *file = fopen(path, "wb");
    if (from && to && file) {
        pixman_image_composite32(PIXMAN_OP_SRC, from, NULL, to, 0, 0, 0, 0, 0, 0, width, height);
        fprintf(file, "P6\n%d %d\n255\n", width, height);
        for (int i = 0; i < width * height; i++) {
            fputc(shown[i] >> 16 & 255, file);
            fputc(shown[i] >> 8 & 255, file);
            fputc(shown[i] & 255, file);
        }
    }
    bool good = from && to && file && fclose(file) == 0;
    pixman_image_unref(from);
    pixman_image_unref(to);
    g_free(copy);
    g_free(shown);
    return good;
}

zframe_t *message(const uint64_t *numbers, size_t count)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, count);
    for (size_t i = 0; i < count; i++)
        msgpack_pack_uint64(&packer, numbers[i]);
    zframe_t *frame = zframe_new(buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
    return frame;
}

int read_message(zframe_t *frame, uint64_t *numbers, int most)
{
    msgpack_unpacked result;
    msgpack_unpacked_init(&result);
    size_t at = 0;
    int count = -1;
    msgpack_unpack_return how =
        msgpack_unpack_next(&result, (const char *) zframe_data(frame), zframe_size(frame), &at);
    if (how == MSGPACK_UNPACK_SUCCESS && result.data.type == MSGPACK_OBJECT_ARRAY) {
        msgpack_object_array array = result.data.via.array;
        count = (int) array.size <= most ? (int) array.size : -1;
        for (int i = 0; i < count; i++) {
            if (array.ptr[i].type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
                count = -1;
                break;
            }
            numbers[i] = array.ptr[i].via.u64;
        }
    }
    msgpack_unpacked_destroy(&result);
    return count;
}

static uint32_t generator = 1;

void seed_random(uint32_t seed)
{
    generator = seed ? seed : 1;
}

uint32_t next_random(void)
{
    generator ^= generator << 13;
    generator ^= generator >> 17;
    generator ^= generator << 5;
    return generator;
}

/* A number as somebody who means harm would choose it. */
static uint64_t strange_number(void)
{
    static const uint64_t EDGES[] = {0, 1, 15, 16, 127, 128, 255, 256, 640, 4096, 8192, 32767, 65535, 65536,
                                     0x20020888, 0x18020888, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
    return next_random() % 4 ? EDGES[next_random() % (sizeof EDGES / sizeof *EDGES)] : next_random();
}

static void pack_strange(msgpack_packer *packer, int depth)
{
    switch (next_random() % 10) {
    case 0: msgpack_pack_nil(packer); break;
    case 1: msgpack_pack_int64(packer, -(int64_t) (strange_number() >> 1)); break;
    case 2: msgpack_pack_double(packer, strange_number() * 0.5); break;
    case 3: msgpack_pack_str(packer, 5); msgpack_pack_str_body(packer, "hello", 5); break;
    case 4: msgpack_pack_true(packer); break;
    case 5:
        msgpack_pack_array(packer, depth ? 2 : 0);
        for (int i = 0; depth && i < 2; i++)
            pack_strange(packer, depth - 1);
        break;
    case 6: msgpack_pack_map(packer, 1); msgpack_pack_nil(packer); msgpack_pack_nil(packer); break;
    default: msgpack_pack_uint64(packer, strange_number());
    }
}

/* Arrays, strings and maps that claim to be huge. */
static zframe_t *bomb(void)
{
    static const uint8_t HEADS[][5] = {{0xdd, 255, 255, 255, 255}, {0xdf, 255, 255, 255, 255}, {0xdb, 255, 255, 255, 255},
                                       {0xc6, 255, 255, 255, 255}, {0xdc, 255, 255, 0xdc, 255}, {0xc9, 127, 255, 255, 255}};
    uint8_t bytes[3000];
    if (next_random() % 2)
        return zframe_new(HEADS[next_random() % 6], 5);
    memset(bytes, 0x91, sizeof bytes);
    return zframe_new(bytes, sizeof bytes);
}

static zframe_t *noise(void)
{
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = next_random();
    /* No goodbye: that would be obeyed. */
    if (bytes[0] >> 4 == 9 && bytes[1] == SHUTDOWN)
        bytes[1] = 0;
    return zframe_new(bytes, next_random() % sizeof bytes);
}

zframe_t *random_message(void)
{
    static const int LENGTHS[] = {0, 5, 4, 4, 3, 3, 1};
    uint32_t kind = next_random() % 8;
    if (kind == 0)
        return noise();
    if (kind == 1)
        return bomb();
    int type = 1 + next_random() % 5, count = LENGTHS[type];
    if (next_random() % 4 == 0)
        count = 1 + next_random() % 12;
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, count);
    msgpack_pack_uint64(&packer, next_random() % 8 ? (uint32_t) type : 7 + next_random() % 1000);
    for (int i = 1; i < count; i++)
        if (kind < 5)
            msgpack_pack_uint64(&packer, strange_number());
        else
            pack_strange(&packer, 3);
    /* What follows the array is padding; what is cut off is missed. */
    size_t size = buffer.size;
    if (kind == 2)
        size = next_random() % size;
    if (kind == 3)
        msgpack_sbuffer_write(&buffer, "padding", 7), size = buffer.size;
    zframe_t *frame = zframe_new(buffer.data, size);
    msgpack_sbuffer_destroy(&buffer);
    return frame;
}

int open_commands(const char *path)
{
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        die("cannot open %s", path);
    return fd;
}

char *next_command(int fd)
{
    static char line[1024];
    static size_t length;
    static bool taken;
    if (taken)
        length = 0, taken = false;
    while (length < sizeof line - 1 && read(fd, line + length, 1) == 1) {
        if (line[length] == '\n') {
            line[length] = 0;
            taken = true;
            return line;
        }
        length++;
    }
    return NULL;
}

void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}
