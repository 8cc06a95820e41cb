/* FreeRDP 2's codecs behind a pipe: what our encoders make is decoded here, and what FreeRDP's encoders make of the same
 * picture, and how long that takes, is what ours are compared with. Compiled by xtask; no part of the product.
 *
 * A request is six 32-bit numbers (task, codec, width, height, parameter, length) and `length` bytes; the answer is a
 * status (0 is good), seconds as a double, a length and so many bytes. All numbers are in this machine's order. One
 * process is one connection: its contexts live until it ends. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <freerdp/codec/clear.h>
#include <freerdp/codec/color.h>
#include <freerdp/codec/interleaved.h>
#include <freerdp/codec/nsc.h>
#include <freerdp/codec/planar.h>
#include <freerdp/codec/progressive.h>
#include <freerdp/codec/region.h>
#include <freerdp/codec/rfx.h>
#include <freerdp/codec/zgfx.h>
#include <winpr/stream.h>

enum task { DECODE, ENCODE };
enum codec { CLEAR, NSC, PLANAR, INTERLEAVED, ZGFX, RFX, PROGRESSIVE };

struct request {
	uint32_t task, codec, width, height, parameter, length;
};

static const UINT32 FORMAT = PIXEL_FORMAT_BGRX32;
/* At least so many runs and seconds; the fastest counts. */
static const int RUNS = 3;
static const double LEAST = 0.25;

static CLEAR_CONTEXT* the_clear;
static NSC_CONTEXT* the_nsc;
static ZGFX_CONTEXT* the_zgfx;
static RFX_CONTEXT* the_rfx;
static PROGRESSIVE_CONTEXT* the_progressive;
static uint32_t progressive_width, progressive_height;

static int decode_planar(const struct request* r, const BYTE* data, BYTE* out)
{
	BITMAP_PLANAR_CONTEXT* planar = freerdp_bitmap_planar_context_new(0, r->width, r->height);
	BOOL good = planar && planar_decompress(planar, data, r->length, r->width, r->height, out, FORMAT,
	                                        r->width * 4, 0, 0, r->width, r->height, r->parameter != 0);
	if (planar)
		freerdp_bitmap_planar_context_free(planar);
	return good;
}

static int decode_interleaved(const struct request* r, const BYTE* data, BYTE* out)
{
	BITMAP_INTERLEAVED_CONTEXT* rle = bitmap_interleaved_context_new(FALSE);
	BOOL good = rle && interleaved_decompress(rle, data, r->length, r->width, r->height, r->parameter, out,
	                                          FORMAT, r->width * 4, 0, 0, r->width, r->height, NULL);
	if (rle)
		bitmap_interleaved_context_free(rle);
	return good;
}

static int decode_progressive(const struct request* r, const BYTE* data, BYTE* out)
{
	REGION16 region;
	INT32 status;
	if (!the_progressive)
		the_progressive = progressive_context_new(FALSE);
	if (progressive_width != r->width || progressive_height != r->height) {
		progressive_delete_surface_context(the_progressive, 1);
		if (progressive_create_surface_context(the_progressive, 1, r->width, r->height) < 0)
			return 0;
		progressive_width = r->width;
		progressive_height = r->height;
	}
	region16_init(&region);
	status = progressive_decompress_ex(the_progressive, data, r->length, out, FORMAT, r->width * 4, 0, 0,
	                                   &region, 1, r->parameter);
	region16_uninit(&region);
	return status >= 0;
}

/* Makes `out` of `data`; says whether it could. */
static int decode(const struct request* r, const BYTE* data, BYTE** out, UINT32* length)
{
	UINT32 stride = r->width * 4;
	if (r->codec == ZGFX) {
		if (!the_zgfx)
			the_zgfx = zgfx_context_new(FALSE);
		return zgfx_decompress(the_zgfx, data, r->length, out, length, 0) >= 0;
	}
	*length = stride * r->height;
	*out = calloc(*length + 1, 1);
	switch (r->codec) {
	case CLEAR:
		if (!the_clear)
			the_clear = clear_context_new(FALSE);
		return clear_decompress(the_clear, data, r->length, r->width, r->height, *out, FORMAT, stride, 0, 0,
		                        r->width, r->height, NULL) >= 0;
	case NSC:
		if (!the_nsc)
			the_nsc = nsc_context_new();
		return nsc_process_message(the_nsc, 32, r->width, r->height, data, r->length, *out, FORMAT, stride, 0,
		                           0, r->width, r->height, FREERDP_FLIP_VERTICAL);
	case PLANAR:
		return decode_planar(r, data, *out);
	case INTERLEAVED:
		return decode_interleaved(r, data, *out);
	case RFX:
		if (!the_rfx)
			the_rfx = rfx_context_new(FALSE);
		rfx_context_set_pixel_format(the_rfx, FORMAT);
		return rfx_process_message(the_rfx, data, r->length, 0, 0, *out, FORMAT, stride, r->height, NULL);
	case PROGRESSIVE:
		return decode_progressive(r, data, *out);
	default:
		return 0;
	}
}

/* One run of an encoder over the whole picture; the bytes go into `out`. */
static int encode_rfx(RFX_CONTEXT* rfx, const struct request* r, const BYTE* data, wStream* out)
{
	RFX_RECT rect = { 0, 0, (UINT16)r->width, (UINT16)r->height };
	return rfx_compose_message(rfx, out, &rect, 1, data, r->width, r->height, r->width * 4);
}

static int encode_progressive(PROGRESSIVE_CONTEXT* p, const struct request* r, const BYTE* data, wStream* out)
{
	BYTE* bytes = NULL;
	UINT32 length = 0;
	int status = progressive_compress_ex(p, data, r->length, FORMAT, r->width, r->height, r->width * 4, NULL,
	                                     &bytes, &length);
	if (status < 0 || !Stream_EnsureRemainingCapacity(out, length))
		return 0;
	Stream_Write(out, bytes, length);
	return 1;
}

static int encode_nsc(NSC_CONTEXT* nsc, const struct request* r, const BYTE* data, wStream* out)
{
	return nsc_compose_message(nsc, out, data, r->width, r->height, r->width * 4);
}

/* Planar and interleaved are made for tiles: 64 by 64 here. */
static int encode_tiles(BITMAP_PLANAR_CONTEXT* planar, BITMAP_INTERLEAVED_CONTEXT* rle, const struct request* r,
                        const BYTE* data, wStream* out)
{
	static BYTE buffer[1 << 17];
	for (UINT32 y = 0; y < r->height; y += 64)
		for (UINT32 x = 0; x < r->width; x += 64) {
			UINT32 width = r->width - x < 64 ? r->width - x : 64;
			UINT32 height = r->height - y < 64 ? r->height - y : 64;
			UINT32 length = sizeof(buffer);
			const BYTE* from = data + (y * r->width + x) * 4;
			if (planar) {
				if (!freerdp_bitmap_compress_planar(planar, from, FORMAT, width, height, r->width * 4,
				                                    buffer, &length))
					return 0;
			} else if (!interleaved_compress(rle, buffer, &length, width, height, data, FORMAT, r->width * 4,
			                                 x, y, NULL, 24))
				return 0;
			if (!Stream_EnsureRemainingCapacity(out, length))
				return 0;
			Stream_Write(out, buffer, length);
		}
	return 1;
}

/* All threads of this process, so that a pool of threads is no advantage. */
static double cpu_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Encodes until the figures are steady; `parameter` is 1 or 3 for RemoteFX (RLGR), the colour loss level, plus 16 for
 * chroma subsampling, for NSCodec. */
static int encode(const struct request* r, const BYTE* data, BYTE** out, UINT32* length, double* seconds)
{
	RFX_CONTEXT* rfx = rfx_context_new(TRUE);
	PROGRESSIVE_CONTEXT* progressive = progressive_context_new(TRUE);
	NSC_CONTEXT* nsc = nsc_context_new();
	BITMAP_PLANAR_CONTEXT* planar =
	    freerdp_bitmap_planar_context_new(PLANAR_FORMAT_HEADER_NA | PLANAR_FORMAT_HEADER_RLE, 64, 64);
	BITMAP_INTERLEAVED_CONTEXT* rle = bitmap_interleaved_context_new(TRUE);
	wStream* stream = Stream_New(NULL, r->length * 2 + 65536);
	double started = cpu_seconds();
	int good = rfx && progressive && nsc && planar && rle && stream;
	if (good) {
		rfx->mode = r->parameter == 3 ? RLGR3 : RLGR1;
		rfx_context_set_pixel_format(rfx, FORMAT);
		rfx_context_reset(rfx, r->width, r->height);
		nsc_context_set_parameters(nsc, NSC_COLOR_FORMAT, FORMAT);
		nsc_context_set_parameters(nsc, NSC_COLOR_LOSS_LEVEL, r->parameter & 15);
		nsc_context_set_parameters(nsc, NSC_ALLOW_SUBSAMPLING, r->parameter >> 4);
	}
	*seconds = 1e9;
	for (int run = 0; good && (run < RUNS || cpu_seconds() - started < LEAST); run++) {
		double before, taken;
		Stream_SetPosition(stream, 0);
		/* Headers that only a first message carries belong to every one here. */
		if (r->codec == RFX)
			rfx_context_reset(rfx, r->width, r->height);
		before = cpu_seconds();
		switch (r->codec) {
		case RFX: good = encode_rfx(rfx, r, data, stream); break;
		case PROGRESSIVE: good = encode_progressive(progressive, r, data, stream); break;
		case NSC: good = encode_nsc(nsc, r, data, stream); break;
		case PLANAR: good = encode_tiles(planar, NULL, r, data, stream); break;
		case INTERLEAVED: good = encode_tiles(NULL, rle, r, data, stream); break;
		default: good = 0;
		}
		taken = cpu_seconds() - before;
		if (taken < *seconds)
			*seconds = taken;
	}
	if (good) {
		*length = (UINT32)Stream_GetPosition(stream);
		*out = malloc(*length + 1);
		memcpy(*out, Stream_Buffer(stream), *length);
	}
	rfx_context_free(rfx);
	progressive_context_free(progressive);
	nsc_context_free(nsc);
	freerdp_bitmap_planar_context_free(planar);
	bitmap_interleaved_context_free(rle);
	Stream_Free(stream, TRUE);
	return good;
}

int main(void)
{
	struct request request;
	/* The library writes its log to standard output, which is ours. */
	FILE* answers = fdopen(dup(STDOUT_FILENO), "w");
	if (!answers || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return 1;
	while (fread(&request, sizeof(request), 1, stdin) == 1) {
		BYTE *out = NULL, *data = malloc((size_t)request.length + 64);
		UINT32 length = 0;
		double seconds = 0;
		uint32_t status;
		int good;
		if (!data || fread(data, 1, request.length, stdin) != request.length)
			return 1;
		good = request.task == DECODE ? decode(&request, data, &out, &length)
		                              : encode(&request, data, &out, &length, &seconds);
		status = good ? 0 : 1;
		if (!good)
			length = 0;
		fwrite(&status, sizeof(status), 1, answers);
		fwrite(&seconds, sizeof(seconds), 1, answers);
		fwrite(&length, sizeof(length), 1, answers);
		if (length > 0)
			fwrite(out, 1, length, answers);
		fflush(answers);
		free(out);
		free(data);
	}
	return 0;
}
