/* The inner loops of mvc.codec.kernels, which says what each of them does.
 *
 * All of them run without the interpreter lock, on contiguous aligned buffers whose lengths are
 * checked first; nothing that they read decides where they write without being checked.
 */

#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "segments are little-endian"
#endif

/* Raised with every change; mvc/codec/kernels_compiled.py takes no other. */
#define VERSION 3
#define MAX_VALUES 65536
#define MAX_GROUPS 256
#define MAX_DIVISOR 32768
#define MAX_COUNT ((int64_t)1 << 32)

static int fail(const char *message) {
    PyErr_SetString(PyExc_ValueError, message);
    return -1;
}

/* Return the units of a buffer, or -1 with an error set. */
static Py_ssize_t units(const Py_buffer *buffer, Py_ssize_t width) {
    if (width != 1 && width != 2 && width != 4 && width != 8)
        return fail("a unit has 1, 2, 4 or 8 bytes");
    if (buffer->len % width || (buffer->len && (uintptr_t)buffer->buf % (uintptr_t)width))
        return fail("a buffer is not one of aligned units");
    return buffer->len / width;
}

/* Four tables, because equal units often follow each other and each addition waits for the last. */
#define COUNT(TYPE)                                                                               \
    static int count_##TYPE(const TYPE *keys, Py_ssize_t length, int64_t *counts,                 \
                            Py_ssize_t values, uint32_t *lanes) {                                 \
        Py_ssize_t at = 0;                                                                        \
        TYPE largest = 0;                                                                         \
        for (Py_ssize_t each = 0; each < length; each++)                                          \
            largest = keys[each] > largest ? keys[each] : largest;                                \
        if (length && largest >= values)                                                          \
            return -1;                                                                            \
        for (; at + 4 <= length; at += 4)                                                         \
            for (int lane = 0; lane < 4; lane++)                                                  \
                lanes[lane * values + keys[at + lane]]++;                                         \
        for (; at < length; at++)                                                                 \
            lanes[keys[at]]++;                                                                    \
        for (Py_ssize_t value = 0; value < values; value++)                                       \
            for (int lane = 0; lane < 4; lane++)                                                  \
                counts[value] += lanes[lane * values + value];                                    \
        return 0;                                                                                 \
    }
COUNT(uint8_t)
COUNT(uint16_t)

static PyObject *count(PyObject *module, PyObject *args) {
    Py_buffer keys, counts;
    int width;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*iw*:count", &keys, &width, &counts))
        return NULL;
    Py_ssize_t length = units(&keys, width), values = units(&counts, 8);
    if (length < 0 || values < 0)
        goto done;
    if (width > 2 || values > MAX_VALUES || length > UINT32_MAX) {
        fail("there are too many values to count");
        goto done;
    }
    uint32_t *lanes = PyMem_Calloc(4 * (size_t)(values ? values : 1), sizeof(uint32_t));
    if (!lanes) {
        PyErr_NoMemory();
        goto done;
    }
    int bad;
    Py_BEGIN_ALLOW_THREADS;
    if (width == 1)
        bad = count_uint8_t(keys.buf, length, counts.buf, values, lanes);
    else
        bad = count_uint16_t(keys.buf, length, counts.buf, values, lanes);
    Py_END_ALLOW_THREADS;
    PyMem_Free(lanes);
    if (bad)
        fail("a key is too large");
    else
        answer = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&keys);
    PyBuffer_Release(&counts);
    return answer;
}

/* Set the first place of each group and the place behind its last one; the sizes fill `length`. */
static int bounds(const Py_buffer *sizes, Py_ssize_t length, Py_ssize_t *next, Py_ssize_t *end) {
    Py_ssize_t groups = units(sizes, 8), at = 0;
    if (groups < 0)
        return -1;
    if (groups > MAX_GROUPS)
        return fail("there are too many groups");
    for (Py_ssize_t group = 0; group < MAX_GROUPS; group++) {
        int64_t size = group < groups ? ((const int64_t *)sizes->buf)[group] : 0;
        if (size < 0 || size > length - at)
            return fail("groups hold other units than there are");
        next[group] = at;
        at += (Py_ssize_t)size;
        end[group] = at;
    }
    return at == length ? 0 : fail("groups hold other units than there are");
}

#define MOVE(TYPE)                                                                                \
    static int gather_##TYPE(const TYPE *in, const uint8_t *labels, Py_ssize_t length, TYPE *out, \
                             Py_ssize_t *next, const Py_ssize_t *end) {                           \
        for (Py_ssize_t at = 0; at < length; at++) {                                              \
            uint8_t group = labels[at];                                                           \
            if (next[group] == end[group])                                                        \
                return -1;                                                                        \
            out[next[group]++] = in[at];                                                          \
        }                                                                                         \
        return 0;                                                                                 \
    }                                                                                             \
    static int scatter_##TYPE(const TYPE *in, const uint8_t *labels, Py_ssize_t length,           \
                              TYPE *out, Py_ssize_t *next, const Py_ssize_t *end) {               \
        for (Py_ssize_t at = 0; at < length; at++) {                                              \
            uint8_t group = labels[at];                                                           \
            if (next[group] == end[group])                                                        \
                return -1;                                                                        \
            out[at] = in[next[group]++];                                                          \
        }                                                                                         \
        return 0;                                                                                 \
    }
MOVE(uint8_t)
MOVE(uint16_t)
MOVE(uint32_t)
MOVE(uint64_t)

static PyObject *move(PyObject *args, int outward) {
    Py_buffer in, labels, sizes, out;
    int width, bad = -1;
    Py_ssize_t next[MAX_GROUPS], end[MAX_GROUPS];
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*iy*y*w*", &in, &width, &labels, &sizes, &out))
        return NULL;
    Py_ssize_t length = units(&in, width);
    if (length < 0 || units(&out, width) < 0)
        goto done;
    if (out.len != in.len || labels.len != length) {
        fail("buffers hold different numbers of units");
        goto done;
    }
    if (bounds(&sizes, length, next, end))
        goto done;
    Py_BEGIN_ALLOW_THREADS;
#define CASE(TYPE)                                                                                \
    case sizeof(TYPE):                                                                            \
        bad = outward ? gather_##TYPE(in.buf, labels.buf, length, out.buf, next, end)             \
                      : scatter_##TYPE(in.buf, labels.buf, length, out.buf, next, end);           \
        break;
    switch (width) {
        CASE(uint8_t)
        CASE(uint16_t)
        CASE(uint32_t)
        CASE(uint64_t)
    }
#undef CASE
    Py_END_ALLOW_THREADS;
    if (bad)
        fail("a group has more units than its size");
    else
        answer = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&in);
    PyBuffer_Release(&labels);
    PyBuffer_Release(&sizes);
    PyBuffer_Release(&out);
    return answer;
}

static PyObject *gather(PyObject *module, PyObject *args) { return move(args, 1); }
static PyObject *scatter(PyObject *module, PyObject *args) { return move(args, 0); }

/* labels = table[keys]; the table has an entry for every value that a key can have. */
static PyObject *label(PyObject *module, PyObject *args) {
    Py_buffer keys, table, labels;
    int width;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*iy*w*:label", &keys, &width, &table, &labels))
        return NULL;
    Py_ssize_t length = units(&keys, width);
    if (length < 0)
        goto done;
    if (width > 2 || table.len != (Py_ssize_t)1 << 8 * width || labels.len != length) {
        fail("a table lacks keys, or there are other labels than keys");
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS;
    const uint8_t *group = table.buf;
    uint8_t *out = labels.buf;
    if (width == 1)
        for (Py_ssize_t at = 0; at < length; at++)
            out[at] = group[((const uint8_t *)keys.buf)[at]];
    else
        for (Py_ssize_t at = 0; at < length; at++)
            out[at] = group[((const uint16_t *)keys.buf)[at]];
    Py_END_ALLOW_THREADS;
    answer = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&keys);
    PyBuffer_Release(&table);
    PyBuffer_Release(&labels);
    return answer;
}

/* Words of floats are ordered as integers by flipping all bits of negative ones, and the sign of
 * the others. `TOP` is the type of the units that hold the signs. */
#define BITS(TYPE) (8 * sizeof(TYPE))
#define NEGATIVE(TYPE, TOP, unit) ((TYPE)(0 - (TYPE)((TOP)(unit) >> (BITS(TOP) - 1))))
#define HIGH(TYPE) ((TYPE)((TYPE)1 << (BITS(TYPE) - 1)))
#define ZIGZAG(TYPE, step) ((TYPE)((TYPE)((step) << 1) ^ NEGATIVE(TYPE, TYPE, step)))
#define UNZIGZAG(TYPE, coded) ((TYPE)((TYPE)((coded) >> 1) ^ (TYPE)(0 - (TYPE)((coded) & 1))))
#define ORDER(TYPE, unit) ((TYPE)((unit) ^ (NEGATIVE(TYPE, TYPE, unit) | HIGH(TYPE))))
#define UNORDER(TYPE, unit) ((TYPE)((unit) ^ ((TYPE)~NEGATIVE(TYPE, TYPE, unit) | HIGH(TYPE))))

#define TOP_DELTA(TYPE)                                                                           \
    static void step_##TYPE(const TYPE *new, const TYPE *base, Py_ssize_t length, TYPE *out) {    \
        for (Py_ssize_t at = 0; at < length; at++) {                                              \
            TYPE step = (TYPE)(new[at] - base[at]);                                               \
            out[at] = ZIGZAG(TYPE, step);                                                         \
        }                                                                                         \
    }                                                                                             \
    static void back_##TYPE(const TYPE *coded, const TYPE *base, Py_ssize_t length, TYPE *out) {  \
        for (Py_ssize_t at = 0; at < length; at++)                                                \
            out[at] = (TYPE)(UNZIGZAG(TYPE, coded[at]) + base[at]);                               \
    }                                                                                             \
    static void float_step_##TYPE(const TYPE *new, const TYPE *base, Py_ssize_t length,           \
                                  TYPE *out) {                                                    \
        for (Py_ssize_t at = 0; at < length; at++) {                                              \
            TYPE step = (TYPE)(ORDER(TYPE, new[at]) - ORDER(TYPE, base[at]));                     \
            out[at] = ZIGZAG(TYPE, step);                                                         \
        }                                                                                         \
    }                                                                                             \
    static void float_back_##TYPE(const TYPE *coded, const TYPE *base, Py_ssize_t length,         \
                                  TYPE *out) {                                                    \
        for (Py_ssize_t at = 0; at < length; at++) {                                              \
            TYPE mapped = (TYPE)(UNZIGZAG(TYPE, coded[at]) + ORDER(TYPE, base[at]));              \
            out[at] = UNORDER(TYPE, mapped);                                                      \
        }                                                                                         \
    }
TOP_DELTA(uint8_t)
TOP_DELTA(uint16_t)
TOP_DELTA(uint32_t)
TOP_DELTA(uint64_t)

#define LOW_DELTA(TYPE, TOP)                                                                      \
    static void low_step_##TYPE(const TYPE *new, const TYPE *base, const TOP *new_top,            \
                                const TOP *base_top, Py_ssize_t length, TYPE *out) {              \
        for (Py_ssize_t at = 0; at < length; at++) {                                              \
            TYPE step = (TYPE)((new[at] ^ NEGATIVE(TYPE, TOP, new_top[at])) -                     \
                               (base[at] ^ NEGATIVE(TYPE, TOP, base_top[at])));                   \
            out[at] = ZIGZAG(TYPE, step);                                                         \
        }                                                                                         \
    }                                                                                             \
    static void low_back_##TYPE(const TYPE *coded, const TYPE *base, const TOP *new_top,          \
                                const TOP *base_top, Py_ssize_t length, TYPE *out) {              \
        for (Py_ssize_t at = 0; at < length; at++) {                                              \
            TYPE mapped = (TYPE)(UNZIGZAG(TYPE, coded[at]) +                                      \
                                 (TYPE)(base[at] ^ NEGATIVE(TYPE, TOP, base_top[at])));           \
            out[at] = (TYPE)(mapped ^ NEGATIVE(TYPE, TOP, new_top[at]));                          \
        }                                                                                         \
    }
LOW_DELTA(uint16_t, uint16_t)
LOW_DELTA(uint32_t, uint16_t)

static PyObject *top_delta(PyObject *module, PyObject *args) {
    Py_buffer one, base, out;
    int width, floats, back;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*y*ippw*:top_delta", &one, &base, &width, &floats, &back, &out))
        return NULL;
    Py_ssize_t length = units(&one, width);
    if (length < 0 || units(&base, width) < 0 || units(&out, width) < 0)
        goto done;
    if (base.len != one.len || out.len != one.len) {
        fail("buffers hold different numbers of units");
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS;
#define CASE(TYPE)                                                                                \
    case sizeof(TYPE):                                                                            \
        if (floats && back)                                                                       \
            float_back_##TYPE(one.buf, base.buf, length, out.buf);                                \
        else if (floats)                                                                          \
            float_step_##TYPE(one.buf, base.buf, length, out.buf);                                \
        else if (back)                                                                            \
            back_##TYPE(one.buf, base.buf, length, out.buf);                                      \
        else                                                                                      \
            step_##TYPE(one.buf, base.buf, length, out.buf);                                      \
        break;
    switch (width) {
        CASE(uint8_t)
        CASE(uint16_t)
        CASE(uint32_t)
        CASE(uint64_t)
    }
#undef CASE
    Py_END_ALLOW_THREADS;
    answer = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&one);
    PyBuffer_Release(&base);
    PyBuffer_Release(&out);
    return answer;
}

static PyObject *low_delta(PyObject *module, PyObject *args) {
    Py_buffer one, base, top, base_top, out;
    int width, back;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*y*y*y*ipw*:low_delta", &one, &base, &top, &base_top, &width,
                          &back, &out))
        return NULL;
    Py_ssize_t length = units(&one, width);
    if (length < 0 || units(&base, width) < 0 || units(&out, width) < 0)
        goto done;
    if ((width != 2 && width != 4) || base.len != one.len || out.len != one.len ||
        units(&top, 2) != length || units(&base_top, 2) != length) {
        if (!PyErr_Occurred())
            fail("buffers hold different numbers of units");
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS;
    if (width == 2 && back)
        low_back_uint16_t(one.buf, base.buf, top.buf, base_top.buf, length, out.buf);
    else if (width == 2)
        low_step_uint16_t(one.buf, base.buf, top.buf, base_top.buf, length, out.buf);
    else if (back)
        low_back_uint32_t(one.buf, base.buf, top.buf, base_top.buf, length, out.buf);
    else
        low_step_uint32_t(one.buf, base.buf, top.buf, base_top.buf, length, out.buf);
    Py_END_ALLOW_THREADS;
    answer = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&one);
    PyBuffer_Release(&base);
    PyBuffer_Release(&top);
    PyBuffer_Release(&base_top);
    PyBuffer_Release(&out);
    return answer;
}

/* keys = min(255, levels[row] + octave * (reference - min(exponent, reference))) */
static PyObject *size_keys(PyObject *module, PyObject *args) {
    Py_buffer top, levels, keys;
    int width, bits, reference, octave;
    Py_ssize_t columns, start;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*iy*nniiiw*:size_keys", &top, &width, &levels, &columns, &start,
                          &bits, &reference, &octave, &keys))
        return NULL;
    Py_ssize_t length = units(&top, width);
    if (length < 0)
        goto done;
    if (width > 2 || bits < 1 || bits >= 8 * width || reference < 0 || reference >> bits ||
        octave < 0 || octave > 255 || columns < 1 || start < 0 || start >= columns ||
        keys.len != length || length > PY_SSIZE_T_MAX - columns - start ||
        levels.len < (start + length + columns - 1) / columns) {
        fail("sizes and keys do not fit");
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS;
    const uint8_t *row = levels.buf;
    uint8_t *out = keys.buf;
    int shift = 8 * width - 1 - bits, mask = (1 << bits) - 1;
    for (Py_ssize_t at = 0, left = columns - start; at < length; left = columns, row++) {
        Py_ssize_t end = left < length - at ? at + left : length;
        int level = *row;
#define ROW(TYPE)                                                                                 \
    for (const TYPE *in = top.buf; at < end; at++) {                                              \
        int below = reference - (in[at] >> shift & mask);                                         \
        int key = level + octave * (below > 0 ? below : 0);                                       \
        out[at] = (uint8_t)(key < 255 ? key : 255);                                               \
    }
        if (width == 1)
            ROW(uint8_t)
        else
            ROW(uint16_t)
#undef ROW
    }
    Py_END_ALLOW_THREADS;
    answer = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&top);
    PyBuffer_Release(&levels);
    PyBuffer_Release(&keys);
    return answer;
}

/* Bits are taken from the highest of a byte to the lowest. */
typedef struct {
    const uint8_t *bytes;
    Py_ssize_t at;
} Bits;

static unsigned take(Bits *bits, int width) {
    unsigned held = 0;
    for (; width > 0; width--, bits->at++)
        held = held << 1 | (bits->bytes[bits->at >> 3] >> (7 - (bits->at & 7)) & 1);
    return held;
}

static void put(uint8_t *bytes, Py_ssize_t *at, unsigned held, int width) {
    for (width--; width >= 0; width--, ++*at)
        bytes[*at >> 3] |= (uint8_t)((held >> width & 1) << (7 - (*at & 7)));
}

static int width_of(unsigned divisor) {
    int width = 0;
    while (1u << width < divisor)
        width++;
    return width;
}

/* Fill `places` and return how many bytes were read, or -1 where they hold something else. */
static Py_ssize_t read_places(const uint8_t *body, Py_ssize_t size, Py_ssize_t unary,
                              unsigned divisor, int64_t limit, int64_t *places, Py_ssize_t ones) {
    int width = width_of(divisor), fixed = width > 1 ? width - 1 : 0;
    unsigned cutoff = (1u << width) - divisor;
    Py_ssize_t found = 0, start = 0, last = -1;
    Py_ssize_t fixed_size = (ones * fixed + 7) / 8;
    if (unary > size || fixed_size > size - unary)
        return -1;
    for (Py_ssize_t byte = 0; byte < unary; byte++)
        for (unsigned held = body[byte], bit = 0; held & 0xFF; held <<= 1, bit++)
            if (held & 0x80) {
                if (found == ones)
                    return -1;
                Py_ssize_t end = byte * 8 + bit;
                places[found++] = end - start;
                start = end + 1;
                last = end;
            }
    if (found != ones || unary != (last + 8) / 8)
        return -1;
    Bits remainders = {body + unary, 0}, extra = {body + unary + fixed_size, 0};
    Py_ssize_t room = (size - unary - fixed_size) * 8;
    int64_t place = -1;
    for (Py_ssize_t one = 0; one < ones; one++) {
        unsigned remainder = take(&remainders, fixed);
        if (width && remainder >= cutoff) {
            if (extra.at == room)
                return -1;
            remainder = (remainder << 1) + take(&extra, 1) - cutoff;
        }
        place += places[one] * (int64_t)divisor + remainder + 1;
        if (place >= limit)
            return -1;
        places[one] = place;
    }
    return unary + fixed_size + (extra.at + 7) / 8;
}

static PyObject *golomb_read(PyObject *module, PyObject *args) {
    Py_buffer body, places;
    Py_ssize_t unary, count, used = -1;
    int divisor;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*ninw*:golomb_read", &body, &unary, &divisor, &count, &places))
        return NULL;
    Py_ssize_t ones = units(&places, 8);
    if (ones < 0)
        goto done;
    if (unary < 0 || divisor < 1 || divisor > MAX_DIVISOR || count < 0 || count > MAX_COUNT ||
        ones > count || body.len > MAX_COUNT) {
        fail("there are no such gaps");
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS;
    used = read_places(body.buf, body.len, unary, (unsigned)divisor, count, places.buf, ones);
    Py_END_ALLOW_THREADS;
    if (used < 0)
        fail("the bytes hold other gaps");
    else
        answer = PyLong_FromSsize_t(used);
done:
    PyBuffer_Release(&body);
    PyBuffer_Release(&places);
    return answer;
}

/* The codes of gaps between ascending places, and how many of their bytes are unary. */
static PyObject *golomb_write(PyObject *module, PyObject *args) {
    Py_buffer places;
    int divisor;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*i:golomb_write", &places, &divisor))
        return NULL;
    Py_ssize_t ones = units(&places, 8);
    if (ones < 0)
        goto done;
    const int64_t *held = places.buf;
    if (divisor < 1 || divisor > MAX_DIVISOR || (ones && (held[0] < 0 || held[ones - 1] >= MAX_COUNT))) {
        fail("there are no such gaps");
        goto done;
    }
    int width = width_of((unsigned)divisor), fixed = width > 1 ? width - 1 : 0;
    unsigned cutoff = (1u << width) - (unsigned)divisor;
    Py_ssize_t unary = 0, more = 0;
    for (Py_ssize_t one = 0; one < ones; one++) {
        int64_t gap = held[one] - (one ? held[one - 1] : -1) - 1;
        if (gap < 0 || held[one] >= MAX_COUNT) {
            fail("places are not in order");
            goto done;
        }
        unary += (Py_ssize_t)(gap / divisor) + 1;
        more += width && gap % divisor >= cutoff;
    }
    Py_ssize_t unary_size = (unary + 7) / 8, fixed_size = (ones * fixed + 7) / 8;
    Py_ssize_t whole = unary_size + fixed_size + (more + 7) / 8;
    PyObject *codes = PyBytes_FromStringAndSize(NULL, whole);
    if (!codes)
        goto done;
    uint8_t *out = (uint8_t *)PyBytes_AsString(codes);
    Py_BEGIN_ALLOW_THREADS;
    memset(out, 0, (size_t)whole);
    Py_ssize_t end = 0, at = 0, extra = 0;
    for (Py_ssize_t one = 0; one < ones; one++) {
        int64_t gap = held[one] - (one ? held[one - 1] : -1) - 1;
        unsigned remainder = (unsigned)(gap % divisor);
        end += (Py_ssize_t)(gap / divisor);
        put(out, &end, 1, 1);
        if (!width)
            continue;
        int large = remainder >= cutoff;
        unsigned stored = large ? remainder + cutoff : remainder << 1;
        put(out + unary_size, &at, stored >> 1, fixed);
        if (large)
            put(out + unary_size + fixed_size, &extra, stored & 1, 1);
    }
    Py_END_ALLOW_THREADS;
    answer = Py_BuildValue("(nN)", unary_size, codes);
done:
    PyBuffer_Release(&places);
    return answer;
}

static PyMethodDef methods[] = {
    {"count", count, METH_VARARGS, NULL},
    {"label", label, METH_VARARGS, NULL},
    {"gather", gather, METH_VARARGS, NULL},
    {"scatter", scatter, METH_VARARGS, NULL},
    {"top_delta", top_delta, METH_VARARGS, NULL},
    {"low_delta", low_delta, METH_VARARGS, NULL},
    {"size_keys", size_keys, METH_VARARGS, NULL},
    {"golomb_read", golomb_read, METH_VARARGS, NULL},
    {"golomb_write", golomb_write, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int begin(PyObject *module) { return PyModule_AddIntMacro(module, VERSION); }

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, begin},
    {0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_kernels",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&definition); }
