/* The part of the request path that runs once per token, in C.
 *
 * The Python classes Poller (poller.py), TokenReader (token_reader.py) and Timestamps
 * (timestamps.py) document the interface; the tests check that both versions give the same results.
 * A token costs a share of a poll, one system call, one comparison and one timestamp. All other
 * reads go to the connection, in Python.
 *
 * Linux only: uses epoll and kernel receive timestamps.
 */
#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000 /* Python 3.11 and later */
#endif
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000LL
#define READ 1
#define WRITE 4
#define MAX_EVENTS 256        /* sockets read per poll, before the event loop runs other work */
#define IMMEDIATE_NS 100000   /* as in poller.py, like the next two */
#define LONGEST_WAIT_MS 10
#define TOLERANCE_NS 40000000LL
#define SAMPLED_EVERY 16      /* read delays are sampled in one of this many polls, on average */
#define READ_BYTES 65536      /* as in socket_timestamps.py */
#define MAX_DIGITS 4          /* of a chunk size, as in chunk_template.py */
#define MAX_TIMEOUT_MS 1e9

typedef struct {
    PyObject_HEAD
    int fd;                       /* of the epoll instance; -1: closed */
    int max_events;
    int sampled, polls_to_sample; /* whether this poll is sampled; polls until the next one is */
    int full;                     /* the last poll reported `max_events`: more may be ready */
    unsigned random;
    Py_ssize_t watched, capacity; /* descriptors watched; size of `handlers` */
    PyObject **handlers;          /* by descriptor; NULL: not watched */
    long long ready_since_ns;
    long long full_since_ns;      /* start of a run of full polls; 0: none */
    long long reported;           /* events in that run */
    long long polled_ns;          /* end of the last poll; 0: pauses are not watched */
    long long longest_pause_ns, paused_ns;
} Poller;

typedef struct {
    PyObject_HEAD
    Py_ssize_t count, capacity, views; /* `views`: exported buffers */
    long long *values;
} Timestamps;

/* A read that waits until the owner has handled an earlier one. */
typedef struct PendingRead {
    struct PendingRead *next;
    long long arrived_ns, delay_ns;
    Py_ssize_t size;
    char data[];
} PendingRead;

typedef struct {
    PyObject_HEAD
    int fd;
    int has_template, waiting;    /* `waiting`: the owner has a read to handle */
    long long floor_ns, clock_offset_ns, end_ns;
    Py_ssize_t token_bytes, prefix_size, suffix_size;
    char *template;               /* the template's prefix, then its suffix */
    Timestamps *timestamps;
    PendingRead *first_pending, *last_pending;
    Py_ssize_t pending_count;
    PyObject *end;                /* error text of the end after these reads; NULL: not ended */
    PyObject *owner, *receiver;
    Poller *poller;
} TokenReader;

typedef struct {
    PyTypeObject *poller, *reader, *timestamps;
} State;

/* Shared by all readers, because only the polling thread uses it. */
static char read_buffer[READ_BYTES];

static long long monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Whether a call succeeded; releases its result. */
static int succeeded(PyObject *result) {
    Py_XDECREF(result);
    return result != NULL;
}

/* -- Timestamps -------------------------------------------------------------------------------- */

static int append_ns(Timestamps *self, long long value_ns) {
    if (self->count == self->capacity) {
        if (self->views) {
            PyErr_SetString(PyExc_BufferError, "cannot append while a buffer is exported");
            return 0;
        }
        Py_ssize_t capacity = self->capacity ? 2 * self->capacity : 16;
        long long *values = PyMem_Realloc(self->values, capacity * sizeof *values);
        if (!values) {
            PyErr_NoMemory();
            return 0;
        }
        self->values = values;
        self->capacity = capacity;
    }
    self->values[self->count++] = value_ns;
    return 1;
}

static PyObject *Timestamps_append(Timestamps *self, PyObject *value) {
    long long value_ns = PyLong_AsLongLong(value);
    if ((value_ns == -1 && PyErr_Occurred()) || !append_ns(self, value_ns)) return NULL;
    Py_RETURN_NONE;
}

static Py_ssize_t Timestamps_length(Timestamps *self) { return self->count; }

static PyObject *Timestamps_item(Timestamps *self, Py_ssize_t index) {
    if (index >= 0 && index < self->count) return PyLong_FromLongLong(self->values[index]);
    PyErr_SetString(PyExc_IndexError, "index out of range");
    return NULL;
}

static PyObject *Timestamps_coalesced(Timestamps *self, void *closure) {
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 1; i < self->count; i++) count += self->values[i] == self->values[i - 1];
    return PyLong_FromSsize_t(count);
}

static int Timestamps_get_buffer(Timestamps *self, Py_buffer *view, int flags) {
    void *start = self->values ? (void *)self->values : "";
    Py_ssize_t size = self->count * sizeof *self->values;
    if (PyBuffer_FillInfo(view, (PyObject *)self, start, size, 1, flags) < 0) return -1;
    self->views++;
    return 0;
}

static void Timestamps_release_buffer(Timestamps *self, Py_buffer *view) { self->views--; }

/* -- TokenReader ------------------------------------------------------------------------------- */

/* See Poller.read_delay_ns of poller.py. */
static long long read_delay_ns(const Poller *poller, long long arrived_ns) {
    long long since_ns = arrived_ns < poller->ready_since_ns ? arrived_ns : poller->ready_since_ns;
    return monotonic_ns() - since_ns;
}

/* Add a value to `delays` or `merged_delays` of the receiver. */
static int add_sample(TokenReader *self, const char *name, long long value_ns) {
    PyObject *sample = PyObject_GetAttrString(self->receiver, name);
    if (!sample) return 0;
    int ok = succeeded(PyObject_CallMethod(sample, "add", "L", value_ns));
    Py_DECREF(sample);
    return ok;
}

/* The kernel timestamp of a read, in monotonic ns; 0 if there is none. */
static long long kernel_timestamp_ns(const TokenReader *self, struct msghdr *message) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec wall;
            memcpy(&wall, CMSG_DATA(c), sizeof wall);
            return wall.tv_sec * NS_PER_S + wall.tv_nsec - self->clock_offset_ns;
        }
    }
    return 0;
}

/* The size of the token at `start`, which has `left` bytes; 0 if it is not a token. */
static Py_ssize_t token_size(const TokenReader *self, const char *start, Py_ssize_t left) {
    Py_ssize_t chunk_size = 0, digits = 0;
    for (; digits < left && digits <= MAX_DIGITS; digits++) {
        char c = start[digits];
        if (c >= '0' && c <= '9') chunk_size = chunk_size * 16 + c - '0';
        else if (c >= 'a' && c <= 'f') chunk_size = chunk_size * 16 + c - 'a' + 10;
        else break;
    }
    if (digits < 2 || digits > MAX_DIGITS || start[0] == '0') return 0;
    Py_ssize_t size = digits + chunk_size + 4; /* 4: CRLF after the digits and after the chunk */
    if (size > left || digits + self->prefix_size + self->suffix_size >= size) return 0;
    const char *prefix = self->template, *suffix = prefix + self->prefix_size;
    const char *text_end = start + size - self->suffix_size;
    if (memcmp(start + digits, prefix, self->prefix_size) ||
        memcmp(text_end, suffix, self->suffix_size))
        return 0;
    for (const char *c = start + digits + self->prefix_size; c < text_end; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < 0x20) return 0;
    return size;
}

/* The number of tokens in a read; 0 if it holds anything else. */
static Py_ssize_t count_tokens(const TokenReader *self, const char *data, Py_ssize_t size) {
    Py_ssize_t count = 0;
    for (Py_ssize_t offset = 0, step; offset < size; offset += step, count++) {
        step = token_size(self, data + offset, size - offset);
        if (!step) return 0;
    }
    return count;
}

static int append_pending(TokenReader *self, const char *data, Py_ssize_t size,
                          long long arrived_ns, long long delay_ns) {
    PendingRead *read = PyMem_Malloc(sizeof *read + size);
    if (!read) {
        PyErr_NoMemory();
        return 0;
    }
    *read = (PendingRead){.arrived_ns = arrived_ns, .delay_ns = delay_ns, .size = size};
    memcpy(read->data, data, size);
    if (self->last_pending)
        self->last_pending->next = read;
    else
        self->first_pending = read;
    self->last_pending = read;
    self->pending_count++;
    return 1;
}

/* Remove the first pending read; the caller frees it. NULL if there is none. */
static PendingRead *pop_pending(TokenReader *self) {
    PendingRead *read = self->first_pending;
    if (!read) return NULL;
    self->first_pending = read->next;
    if (!read->next) self->last_pending = NULL;
    self->pending_count--;
    return read;
}

/* Handle a read of at least one byte. The delay is computed only if `known_delay_ns` is NULL. */
static int process_read(TokenReader *self, const char *data, Py_ssize_t size, long long arrived_ns,
                        const long long *known_delay_ns) {
    Py_ssize_t count = self->has_template && !self->waiting ? count_tokens(self, data, size) : 0;
    for (Py_ssize_t i = 0; i < count; i++)
        if (!append_ns(self->timestamps, arrived_ns)) return 0;
    if (count) self->token_bytes += size;
    if (count == 1) return 1;
    long long delay_ns = known_delay_ns ? *known_delay_ns : read_delay_ns(self->poller, arrived_ns);
    if (count) return add_sample(self, "merged_delays", delay_ns);
    if (self->waiting) return append_pending(self, data, size, arrived_ns, delay_ns);
    self->waiting = 1;
    /* Not "y#": its meaning depends on the Python version at compile time, see PY_SSIZE_T_CLEAN. */
    PyObject *bytes = PyBytes_FromStringAndSize(data, size);
    if (!bytes) return 0;
    PyObject *result =
        PyObject_CallMethod(self->owner, "data_received", "OLL", bytes, arrived_ns, delay_ns);
    Py_DECREF(bytes);
    return succeeded(result);
}

/* Whether the poller still calls this reader. If `resume_writing` closed the connection, its
 * descriptor number may already belong to another file. */
static int is_watched(const TokenReader *self) {
    return self->fd >= 0 && self->fd < self->poller->capacity &&
           self->poller->handlers[self->fd] == (PyObject *)self;
}

static void unwatch(Poller *poller, Py_ssize_t fd);

static int process_end(TokenReader *self, const char *error) {
    if (is_watched(self)) unwatch(self->poller, self->fd);
    long long now_ns = monotonic_ns();
    if (!self->waiting)
        return succeeded(PyObject_CallMethod(self->owner, "connection_lost", "sL", error, now_ns));
    if (self->end) return 1;
    self->end_ns = now_ns;
    self->end = PyUnicode_FromString(error);
    return self->end != NULL;
}

/* Handle pending reads up to the next one that the owner must handle. */
static int process_pending(TokenReader *self) {
    int ok = 1;
    PendingRead *read;
    while (ok && !self->waiting && (read = pop_pending(self))) {
        ok = process_read(self, read->data, read->size, read->arrived_ns, &read->delay_ns);
        PyMem_Free(read);
    }
    if (!ok || self->waiting || !self->end) return ok;
    PyObject *end = self->end;
    self->end = NULL;
    ok = succeeded(PyObject_CallMethod(self->owner, "connection_lost", "OL", end, self->end_ns));
    Py_DECREF(end);
    return ok;
}

/* Handle an event of the descriptor; returns 0 if a Python exception is set. Sets `only_tokens` to
 * 0 if the event was anything but tokens. */
static int handle_event(TokenReader *self, unsigned mask, int *only_tokens) {
    if (!self->poller) {
        PyErr_SetString(PyExc_RuntimeError, "the reader is being deleted");
        return 0;
    }
    if (mask != READ && mask & WRITE) {
        *only_tokens = 0;
        if (!succeeded(PyObject_CallMethod(self->owner, "resume_writing", NULL))) return 0;
        if (!is_watched(self)) return 1;
    }
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec buffer = {.iov_base = read_buffer, .iov_len = READ_BYTES};
    struct msghdr message = {.msg_iov = &buffer, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    Py_ssize_t size;
    do size = recvmsg(self->fd, &message, MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    if (size < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) return 1;
        *only_tokens = 0;
        return process_end(self, strerror(errno));
    }
    long long arrived_ns = kernel_timestamp_ns(self, &message);
    if (!arrived_ns) {
        arrived_ns = monotonic_ns();
        /* The end of a stream never has a kernel timestamp. */
        if (size && PyObject_SetAttrString(self->receiver, "kernel_timestamps", Py_False) < 0)
            return 0;
    }
    if (self->poller->sampled &&
        !add_sample(self, "delays", read_delay_ns(self->poller, arrived_ns)))
        return 0;
    if (arrived_ns < self->floor_ns)
        arrived_ns = self->floor_ns;
    else
        self->floor_ns = arrived_ns;
    Py_ssize_t before = self->token_bytes;
    int ok = size ? process_read(self, read_buffer, size, arrived_ns, NULL) : process_end(self, "");
    if (self->token_bytes == before) *only_tokens = 0;
    return ok;
}

static PyObject *TokenReader_call(TokenReader *self, PyObject *args, PyObject *kwargs) {
    unsigned mask;
    int only_tokens;
    if (!PyArg_ParseTuple(args, "I", &mask) || !handle_event(self, mask, &only_tokens)) return NULL;
    Py_RETURN_NONE;
}

static int set_template(TokenReader *self, PyObject *template, Timestamps *timestamps) {
    PyObject *prefix = PyObject_GetAttrString(template, "prefix");
    PyObject *suffix = prefix ? PyObject_GetAttrString(template, "suffix") : NULL;
    char *prefix_bytes, *suffix_bytes, *joined = NULL;
    Py_ssize_t prefix_size, suffix_size;
    if (suffix && !PyBytes_AsStringAndSize(prefix, &prefix_bytes, &prefix_size) &&
        !PyBytes_AsStringAndSize(suffix, &suffix_bytes, &suffix_size)) {
        joined = PyMem_Realloc(self->template, prefix_size + suffix_size + 1);
        if (!joined) PyErr_NoMemory();
    }
    if (joined) {
        memcpy(joined, prefix_bytes, prefix_size);
        memcpy(joined + prefix_size, suffix_bytes, suffix_size);
        self->template = joined;
        self->prefix_size = prefix_size;
        self->suffix_size = suffix_size;
        PyObject *old = (PyObject *)self->timestamps;
        self->timestamps = (Timestamps *)Py_NewRef((PyObject *)timestamps);
        self->has_template = 1;
        Py_XDECREF(old);
    }
    Py_XDECREF(prefix);
    Py_XDECREF(suffix);
    return joined != NULL;
}

static PyObject *TokenReader_resume(TokenReader *self, PyObject *args) {
    PyObject *template = Py_None;
    Timestamps *timestamps = NULL;
    State *state = PyType_GetModuleState(Py_TYPE((PyObject *)self));
    if (!state || !PyArg_ParseTuple(args, "|OO!", &template, state->timestamps, &timestamps))
        return NULL;
    self->has_template = 0;
    if (template == Py_None) {
        Py_CLEAR(self->timestamps);
    } else {
        if (!timestamps) {
            PyErr_SetString(PyExc_TypeError, "a template requires timestamps");
            return NULL;
        }
        if (!set_template(self, template, timestamps)) return NULL;
    }
    self->waiting = 0;
    if (!process_pending(self)) return NULL;
    Py_RETURN_NONE;
}

static PyObject *TokenReader_pending(TokenReader *self, void *closure) {
    return PyLong_FromSsize_t(self->pending_count + (self->end != NULL));
}

static PyObject *TokenReader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    int fd;
    PyObject *owner, *receiver, *poller;
    if (!PyArg_ParseTuple(args, "iOOO", &fd, &owner, &receiver, &poller)) return NULL;
    State *state = PyType_GetModuleState(type);
    if (!state) return NULL;
    if (!PyObject_TypeCheck(poller, state->poller)) {
        PyErr_SetString(PyExc_TypeError, "a compiled reader requires a compiled poller");
        return NULL;
    }
    PyObject *clock = PyObject_GetAttrString(receiver, "clock");
    PyObject *offset = clock ? PyObject_GetAttrString(clock, "offset_ns") : NULL;
    long long clock_offset_ns = offset ? PyLong_AsLongLong(offset) : 0;
    Py_XDECREF(clock);
    Py_XDECREF(offset);
    if (PyErr_Occurred()) return NULL;
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    TokenReader *self = (TokenReader *)allocate(type, 0);
    if (!self) return NULL;
    self->fd = fd;
    self->clock_offset_ns = clock_offset_ns;
    self->owner = Py_NewRef(owner);
    self->receiver = Py_NewRef(receiver);
    self->poller = (Poller *)Py_NewRef(poller);
    return (PyObject *)self;
}

static int TokenReader_traverse(TokenReader *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->timestamps);
    Py_VISIT(self->owner);
    Py_VISIT(self->receiver);
    Py_VISIT(self->poller);
    return 0;
}

static int TokenReader_clear(TokenReader *self) {
    self->has_template = 0;
    Py_CLEAR(self->timestamps);
    PyMem_Free(self->template);
    self->template = NULL;
    for (PendingRead *read; (read = pop_pending(self));) PyMem_Free(read);
    Py_CLEAR(self->end);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->receiver);
    Py_CLEAR(self->poller);
    return 0;
}

/* -- Poller ------------------------------------------------------------------------------------ */

static PyObject *os_error(void) { return PyErr_SetFromErrno(PyExc_OSError); }

static PyObject *Poller_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"max_events", NULL};
    int max_events = MAX_EVENTS;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$i", names, &max_events)) return NULL;
    if (max_events < 1 || max_events > MAX_EVENTS) {
        PyErr_Format(PyExc_ValueError, "max_events: expected 1 to %d", MAX_EVENTS);
        return NULL;
    }
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    Poller *self = (Poller *)allocate(type, 0);
    if (!self) return NULL;
    self->max_events = max_events;
    self->polls_to_sample = self->random = 1;
    self->ready_since_ns = monotonic_ns();
    self->fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->fd < 0) {
        os_error();
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Make `handlers` large enough for this descriptor. */
static int reserve_handler(Poller *self, Py_ssize_t fd) {
    if (fd < self->capacity) return 1;
    Py_ssize_t capacity = 2 * fd + 64;
    PyObject **handlers = PyMem_Realloc(self->handlers, capacity * sizeof *handlers);
    if (!handlers) {
        PyErr_NoMemory();
        return 0;
    }
    memset(handlers + self->capacity, 0, (capacity - self->capacity) * sizeof *handlers);
    self->handlers = handlers;
    self->capacity = capacity;
    return 1;
}

static PyObject *Poller_watch(Poller *self, PyObject *args) {
    int fd;
    unsigned mask = READ;
    PyObject *handler;
    if (!PyArg_ParseTuple(args, "iO|I", &fd, &handler, &mask)) return NULL;
    /* Checked first: an invalid number must not make `handlers` grow. */
    if (fcntl(fd, F_GETFD) < 0) return os_error();
    if (!reserve_handler(self, fd)) return NULL;
    PyObject *old = self->handlers[fd];
    struct epoll_event event = {.events = mask, .data.fd = fd};
    if (epoll_ctl(self->fd, old ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0) return os_error();
    self->handlers[fd] = Py_NewRef(handler);
    self->watched += !old;
    Py_XDECREF(old);
    Py_RETURN_NONE;
}

/* Ignores errors of epoll_ctl: a descriptor that was closed is no longer in the epoll instance. */
static void unwatch(Poller *self, Py_ssize_t fd) {
    if (fd < 0 || fd >= self->capacity || !self->handlers[fd]) return;
    PyObject *old = self->handlers[fd];
    self->handlers[fd] = NULL;
    self->watched--;
    struct epoll_event event = {0};
    epoll_ctl(self->fd, EPOLL_CTL_DEL, (int)fd, &event);
    Py_DECREF(old);
}

static PyObject *Poller_unwatch(Poller *self, PyObject *number) {
    long fd = PyLong_AsLong(number);
    if (fd == -1 && PyErr_Occurred()) return NULL;
    unwatch(self, fd);
    Py_RETURN_NONE;
}

static PyObject *Poller_read_delay_ns(Poller *self, PyObject *arrived) {
    long long arrived_ns = PyLong_AsLongLong(arrived);
    if (arrived_ns == -1 && PyErr_Occurred()) return NULL;
    return PyLong_FromLongLong(read_delay_ns(self, arrived_ns));
}

/* See Poller.check_pause of poller.py. */
static void check_pause(Poller *self, long long now_ns) {
    if (!self->polled_ns) return;
    long long pause_ns = now_ns - self->polled_ns - LONGEST_WAIT_MS * 1000000LL;
    self->polled_ns = now_ns;
    if (pause_ns <= TOLERANCE_NS) return;
    self->paused_ns += pause_ns;
    if (pause_ns > self->longest_pause_ns) self->longest_pause_ns = pause_ns;
}

static PyObject *Poller_check_pause(Poller *self, PyObject *unused) {
    check_pause(self, monotonic_ns());
    Py_RETURN_NONE;
}

static PyObject *Poller_watch_pauses(Poller *self, PyObject *unused) {
    self->polled_ns = monotonic_ns();
    self->longest_pause_ns = self->paused_ns = 0;
    Py_RETURN_NONE;
}

/* After a poll: choose the next poll to sample, and compute the earliest time at which an event of
 * the next poll can have become ready. A poll that is not full (`reported` is 0) reported all
 * events. Full polls report the sockets in rotation: once a run of full polls has reported more
 * events than there are sockets, it has reported all that were ready when it began. */
static void update_after_poll(Poller *self, int reported, long long polled_ns) {
    if (self->sampled) {
        /* At random, because a fixed interval could coincide with a period of the load. The
         * constants are those of the example of rand() in ISO C. */
        self->random = (self->random * 1103515245u + 12345u) % (1u << 31);
        self->polls_to_sample = 1 + (int)((self->random >> 16) % (2 * SAMPLED_EVERY - 1));
    }
    self->reported += reported;
    if (!reported) {
        self->ready_since_ns = polled_ns;
        self->full_since_ns = self->reported = 0;
    } else if (!self->full_since_ns) {
        self->full_since_ns = polled_ns;
    } else if (self->reported > self->watched) {
        self->ready_since_ns = self->full_since_ns;
        self->full_since_ns = polled_ns;
        self->reported = 0;
    }
}

/* Call one handler; returns 0 if a Python exception is set. */
static int call_handler(Poller *self, PyTypeObject *reader, const struct epoll_event *event,
                        int *only_tokens) {
    int fd = event->data.fd;
    PyObject *handler = fd < self->capacity ? self->handlers[fd] : NULL;
    if (!handler) return 1; /* An earlier handler of this poll stopped watching it. */
    Py_INCREF(handler);
    int ok;
    if (Py_TYPE(handler) == reader) {
        ok = handle_event((TokenReader *)handler, event->events, only_tokens);
    } else {
        *only_tokens = 0;
        ok = succeeded(PyObject_CallFunction(handler, "I", event->events));
    }
    Py_DECREF(handler);
    return ok;
}

/* Poll once and call the handlers. Returns how many; -1 if a Python exception is set. */
static int poll_once(Poller *self, PyTypeObject *reader, int timeout_ms, int *only_tokens) {
    struct epoll_event events[MAX_EVENTS];
    if (self->full) timeout_ms = 0;
    if (self->polled_ns && (timeout_ms < 0 || timeout_ms > LONGEST_WAIT_MS))
        timeout_ms = LONGEST_WAIT_MS;
    long long before_ns, polled_ns;
    int count, error;
    Py_BEGIN_ALLOW_THREADS /* Includes both clock reads: waiting for the GIL is not polling. */
    before_ns = monotonic_ns();
    count = epoll_wait(self->fd, events, self->max_events, timeout_ms);
    error = errno;
    polled_ns = monotonic_ns();
    Py_END_ALLOW_THREADS
    if (count < 0 && error != EINTR) {
        errno = error;
        os_error();
        return -1;
    }
    if (count < 0) { /* A signal: its handler, then the caller, run before the next poll. */
        count = 0;
        *only_tokens = 0;
    }
    check_pause(self, polled_ns);
    if (timeout_ms && polled_ns - before_ns > IMMEDIATE_NS) self->ready_since_ns = polled_ns;
    self->sampled = --self->polls_to_sample == 0;
    for (int i = 0; i < count; i++)
        if (!call_handler(self, reader, &events[i], only_tokens)) return -1;
    self->full = count >= self->max_events;
    update_after_poll(self, self->full ? count : 0, polled_ns);
    return count;
}

static PyObject *Poller_poll(Poller *self, PyObject *timeout) {
    State *state = PyType_GetModuleState(Py_TYPE((PyObject *)self));
    double timeout_s = PyFloat_AsDouble(timeout);
    if (!state || (timeout_s == -1.0 && PyErr_Occurred())) return NULL;
    /* Rounded up like select.epoll, to avoid a busy loop in the last fraction of a millisecond. */
    double rounded_ms = timeout_s * 1e3 + 0.999999;
    int timeout_ms =
        timeout_s < 0 ? -1 : (int)(rounded_ms < MAX_TIMEOUT_MS ? rounded_ms : MAX_TIMEOUT_MS);
    int only_tokens = 1, count;
    /* Return only after Python code ran: otherwise the caller has nothing new to do. */
    do {
        count = poll_once(self, state->reader, timeout_ms, &only_tokens);
        if (count < 0 || PyErr_CheckSignals() < 0) return NULL;
    } while (only_tokens && timeout_ms < 0);
    return PyLong_FromLong(count);
}

static void drop_handlers(Poller *self) {
    Py_ssize_t count = self->capacity;
    PyObject **handlers = self->handlers;
    self->handlers = NULL;
    self->capacity = self->watched = 0;
    for (Py_ssize_t i = 0; i < count; i++) Py_XDECREF(handlers[i]);
    PyMem_Free(handlers);
}

static PyObject *Poller_close(Poller *self, PyObject *unused) {
    drop_handlers(self);
    if (self->fd >= 0) close(self->fd);
    self->fd = -1;
    Py_RETURN_NONE;
}

static int Poller_traverse(Poller *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    for (Py_ssize_t i = 0; i < self->capacity; i++) Py_VISIT(self->handlers[i]);
    return 0;
}

static int Poller_clear(Poller *self) {
    drop_handlers(self);
    return 0;
}

/* -- module ------------------------------------------------------------------------------------ */

static void release(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    freefunc free_it = PyType_GetSlot(type, Py_tp_free);
    free_it(self);
    Py_DECREF(type);
}

static void Timestamps_dealloc(PyObject *self) {
    PyMem_Free(((Timestamps *)self)->values);
    release(self);
}

static void TokenReader_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    TokenReader_clear((TokenReader *)self);
    release(self);
}

static void Poller_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    drop_handlers((Poller *)self);
    if (((Poller *)self)->fd >= 0) close(((Poller *)self)->fd);
    release(self);
}

static PyMethodDef timestamps_methods[] = {
    {"append", (PyCFunction)Timestamps_append, METH_O, "See timestamps.py."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef timestamps_getset[] = {
    {"coalesced", (getter)Timestamps_coalesced, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot timestamps_slots[] = {
    {Py_tp_doc, "Arrival times of the tokens of one request: see timestamps.py."},
    {Py_tp_methods, timestamps_methods},
    {Py_tp_getset, timestamps_getset},
    {Py_sq_length, Timestamps_length},
    {Py_sq_item, Timestamps_item},
    {Py_bf_getbuffer, Timestamps_get_buffer},
    {Py_bf_releasebuffer, Timestamps_release_buffer},
    {Py_tp_dealloc, Timestamps_dealloc},
    {0, NULL},
};

static PyMethodDef reader_methods[] = {
    {"resume", (PyCFunction)TokenReader_resume, METH_VARARGS, "See token_reader.py."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef reader_getset[] = {
    {"pending", (getter)TokenReader_pending, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef reader_members[] = {
    {"floor_ns", T_LONGLONG, offsetof(TokenReader, floor_ns), 0, NULL},
    {"token_bytes", T_PYSSIZET, offsetof(TokenReader, token_bytes), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, "Event handler of one connection: see token_reader.py."},
    {Py_tp_new, TokenReader_new},
    {Py_tp_call, TokenReader_call},
    {Py_tp_methods, reader_methods},
    {Py_tp_members, reader_members},
    {Py_tp_getset, reader_getset},
    {Py_tp_traverse, TokenReader_traverse},
    {Py_tp_clear, TokenReader_clear},
    {Py_tp_dealloc, TokenReader_dealloc},
    {0, NULL},
};

static PyMethodDef poller_methods[] = {
    {"watch", (PyCFunction)Poller_watch, METH_VARARGS, "See poller.py."},
    {"unwatch", (PyCFunction)Poller_unwatch, METH_O, "See poller.py."},
    {"read_delay_ns", (PyCFunction)Poller_read_delay_ns, METH_O, "See poller.py."},
    {"watch_pauses", (PyCFunction)Poller_watch_pauses, METH_NOARGS, "See poller.py."},
    {"check_pause", (PyCFunction)Poller_check_pause, METH_NOARGS, "See poller.py."},
    {"poll", (PyCFunction)Poller_poll, METH_O, "See poller.py."},
    {"close", (PyCFunction)Poller_close, METH_NOARGS, "See poller.py."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef poller_members[] = {
    {"ready_since_ns", T_LONGLONG, offsetof(Poller, ready_since_ns), READONLY, NULL},
    {"longest_pause_ns", T_LONGLONG, offsetof(Poller, longest_pause_ns), READONLY, NULL},
    {"paused_ns", T_LONGLONG, offsetof(Poller, paused_ns), READONLY, NULL},
    {"sampled", T_INT, offsetof(Poller, sampled), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot poller_slots[] = {
    {Py_tp_doc, "Calls the handlers of ready file descriptors: see poller.py."},
    {Py_tp_new, Poller_new},
    {Py_tp_methods, poller_methods},
    {Py_tp_members, poller_members},
    {Py_tp_traverse, Poller_traverse},
    {Py_tp_clear, Poller_clear},
    {Py_tp_dealloc, Poller_dealloc},
    {0, NULL},
};

static PyType_Spec timestamps_spec = {
    .name = "tokenbench.load._native.Timestamps",
    .basicsize = sizeof(Timestamps),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = timestamps_slots,
};

static PyType_Spec reader_spec = {
    .name = "tokenbench.load._native.TokenReader",
    .basicsize = sizeof(TokenReader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = reader_slots,
};

static PyType_Spec poller_spec = {
    .name = "tokenbench.load._native.Poller",
    .basicsize = sizeof(Poller),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = poller_slots,
};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type && PyModule_AddType(module, (PyTypeObject *)type) < 0) Py_CLEAR(type);
    return (PyTypeObject *)type;
}

static int exec_module(PyObject *module) {
    State *state = PyModule_GetState(module);
    state->poller = add_type(module, &poller_spec);
    state->reader = state->poller ? add_type(module, &reader_spec) : NULL;
    state->timestamps = state->reader ? add_type(module, &timestamps_spec) : NULL;
    return state->timestamps ? 0 : -1;
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    State *state = PyModule_GetState(module);
    Py_VISIT(state->poller);
    Py_VISIT(state->reader);
    Py_VISIT(state->timestamps);
    return 0;
}

static int clear(PyObject *module) {
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->poller);
    Py_CLEAR(state->reader);
    Py_CLEAR(state->timestamps);
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, exec_module}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tokenbench.load._native",
    .m_size = sizeof(State),
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
