/*
 * What both foreign programs share: protocol 5 as docs/librdpmux.md has it, with nothing of ours but that page.
 * Messages by libmsgpack, formats by pixman itself, random messages that are mostly none.
 */
#ifndef WIRE_H
#define WIRE_H

#include <czmq.h>
#include <glib.h>
#include <msgpack.h>
#include <pixman.h>
#include <stdbool.h>
#include <stdint.h>

enum { UPDATE = 1, SWITCH, MOUSE, KEYBOARD, COMPLETE, SHUTDOWN };

/* Bytes of the shared memory: 4096 x 2048 pixels of 32 bits. */
#define MEMORY ((size_t) 4096 * 2048 * 4)

/* The code of a format by pixman's name; 0 if there is none. */
pixman_format_code_t format_of(const char *name);

/* Bytes of a pixel by its code. */
size_t bytes_of(uint32_t code);

/* Opens "/<id>.rdpmux"; makes it if `make`. NULL if that fails. `fd` stays open. */
uint8_t *map_memory(int id, bool make, int *fd);

/* Copies rows without gaps of `format` from `memory` as a binary PPM to `path`. */
bool write_ppm(const char *path, const uint8_t *memory, uint32_t format, int width, int height);

/* A message of `count` numbers. */
zframe_t *message(const uint64_t *numbers, size_t count);

/* Reads an array of unsigned numbers, at most `most`. Returns how many, -1 if it is no such array. */
int read_message(zframe_t *frame, uint64_t *numbers, int most);

/* A message that may be anything but a SHUTDOWN: numbers where they do not belong, bombs, cut ones, noise. */
zframe_t *random_message(void);

/* The next number of a small generator; the same seed gives the same numbers everywhere. */
uint32_t next_random(void);
void seed_random(uint32_t seed);

/* Opens the named pipe from which commands are read, and never sees its end. */
int open_commands(const char *path);

/* One line of it without its end; NULL if none is complete. */
char *next_command(int fd);

/* Prints a line at once. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints why and ends. */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
