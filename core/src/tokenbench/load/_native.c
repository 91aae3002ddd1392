/* The part of the request path that runs for every token, compiled.
 *
 * Twins of Python classes, which are the description of what they do: Poller of poller.py, TokenReader
 * of token_reader.py, Timestamps of timestamps.py. A token costs a share of a poll, one system call, one comparison and
 * one stamp here; whatever else comes is handed to the connection, in Python.
 *
 * Linux only: epoll, and the kernel's stamps of what arrives.
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
#define MOST 256              /* these three: as in poller.py */
#define AT_ONCE_NS 100000
#define TIMED 16
#define ROOM_BYTES 65536      /* as in socket_timestamps.py */
#define DIGITS 4              /* of a chunk's size, at most; as in chunk_template.py */
#define LONGEST_MS 1e9        /* of a wait */

typedef struct {
    PyObject_HEAD
    int fd;                   /* of the epoll; -1: closed */
    int most, timed, until_timed;
    int full;                 /* the last turn reported `most`: more may be ready */
    unsigned chance;
    Py_ssize_t watched, room; /* handlers there are; places for them */
    PyObject **handlers;      /* by descriptor; NULL: not watched */
    long long since_ns, full_ns, handed;
} Poller;

typedef struct {
    PyObject_HEAD
    Py_ssize_t count, room, shown; /* stamps; places for them; buffers that others look at */
    long long *at;
} Timestamps;

/* A read behind one that the owner is to look at. */
typedef struct Kept {
    struct Kept *next;
    long long now_ns, late_ns;
    Py_ssize_t size;
    char data[];
} Kept;

typedef struct {
    PyObject_HEAD
    int fd;
    int taking, waiting;      /* whether there is a stencil; whether the owner is to look */
    long long floor_ns, ahead_ns, end_ns;
    Py_ssize_t taken, lead_size, tail_size;
    char *around;             /* the stencil's lead, then its tail */
    Timestamps *stamps;
    Kept *first_kept, *last_kept;
    Py_ssize_t count_kept;
    PyObject *end;            /* str: the end came behind them; NULL: it did not */
    PyObject *owner, *receiver;
    Poller *poll;
} TokenReader;

typedef struct {
    PyTypeObject *poll, *reader, *stamps;
} State;

/* Of the one thread that polls. */
static char room[ROOM_BYTES];

static long long monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Whether a call went well; what it returned is let go. */
static int went_well(PyObject *result) {
    Py_XDECREF(result);
    return result != NULL;
}

/* -- Timestamps ------------------------------------------------------------------------------------ */

static int push(Timestamps *self, long long value_ns) {
    if (self->count == self->room) {
        if (self->shown) {
            PyErr_SetString(PyExc_BufferError, "somebody looks at these stamps");
            return 0;
        }
        Py_ssize_t room = self->room ? 2 * self->room : 16;
        long long *at = PyMem_Realloc(self->at, room * sizeof *at);
        if (!at) {
            PyErr_NoMemory();
            return 0;
        }
        self->at = at;
        self->room = room;
    }
    self->at[self->count++] = value_ns;
    return 1;
}

static PyObject *Timestamps_append(Timestamps *self, PyObject *value) {
    long long value_ns = PyLong_AsLongLong(value);
    if ((value_ns == -1 && PyErr_Occurred()) || !push(self, value_ns)) return NULL;
    Py_RETURN_NONE;
}

static Py_ssize_t Timestamps_length(Timestamps *self) { return self->count; }

static PyObject *Timestamps_item(Timestamps *self, Py_ssize_t index) {
    if (index >= 0 && index < self->count) return PyLong_FromLongLong(self->at[index]);
    PyErr_SetString(PyExc_IndexError, "there are not so many stamps");
    return NULL;
}

static PyObject *Timestamps_coalesced(Timestamps *self, void *nothing) {
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 1; i < self->count; i++) count += self->at[i] == self->at[i - 1];
    return PyLong_FromSsize_t(count);
}

static int Timestamps_show(Timestamps *self, Py_buffer *view, int flags) {
    void *at = self->at ? (void *)self->at : "";
    Py_ssize_t size = self->count * sizeof *self->at;
    if (PyBuffer_FillInfo(view, (PyObject *)self, at, size, 1, flags) < 0) return -1;
    self->shown++;
    return 0;
}

static void Timestamps_hide(Timestamps *self, Py_buffer *view) { self->shown--; }

/* -- TokenReader ------------------------------------------------------------------------------- */

/* Until when what is read may have waited: see Poller.late_ns. */
static long long late_ns(const Poller *poll, long long came_ns) {
    return monotonic_ns() - (came_ns < poll->since_ns ? came_ns : poll->since_ns);
}

/* One more value for `delays` or `merged` of the receiver. */
static int note(TokenReader *self, const char *name, long long value_ns) {
    PyObject *delays = PyObject_GetAttrString(self->receiver, name);
    if (!delays) return 0;
    int well = went_well(PyObject_CallMethod(delays, "add", "L", value_ns));
    Py_DECREF(delays);
    return well;
}

/* The kernel's stamp of a read, in monotonic ns; 0 where it gave none. */
static long long stamp_of(const TokenReader *self, struct msghdr *message) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec came;
            memcpy(&came, CMSG_DATA(c), sizeof came);
            return came.tv_sec * NS_PER_S + came.tv_nsec - self->ahead_ns;
        }
    }
    return 0;
}

/* The size of the token that `at` begins with, of at most `left` bytes; 0 where it is none. */
static Py_ssize_t token_at(const TokenReader *self, const char *at, Py_ssize_t left) {
    Py_ssize_t inside = 0, digits = 0;
    for (; digits < left && digits <= DIGITS; digits++) {
        char c = at[digits];
        if (c >= '0' && c <= '9') inside = inside * 16 + c - '0';
        else if (c >= 'a' && c <= 'f') inside = inside * 16 + c - 'a' + 10;
        else break;
    }
    if (digits < 2 || digits > DIGITS || at[0] == '0') return 0;
    Py_ssize_t size = inside + digits + 4; /* with the line ends around the size and after all */
    if (size > left || digits + self->lead_size + self->tail_size >= size) return 0;
    const char *lead = self->around, *tail = lead + self->lead_size;
    if (memcmp(at + digits, lead, self->lead_size) ||
        memcmp(at + size - self->tail_size, tail, self->tail_size))
        return 0;
    const char *end = at + size - self->tail_size;
    for (const char *c = at + digits + self->lead_size; c < end; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < 0x20) return 0;
    return size;
}

/* Of how many tokens a read consists; 0 where it is anything else besides. */
static Py_ssize_t tokens_in(const TokenReader *self, const char *data, Py_ssize_t size) {
    Py_ssize_t count = 0;
    for (Py_ssize_t at = 0, step; at < size; at += step, count++) {
        step = token_at(self, data + at, size - at);
        if (!step) return 0;
    }
    return count;
}

static int keep(TokenReader *self, const char *data, Py_ssize_t size, long long now_ns,
                long long late) {
    Kept *read = PyMem_Malloc(sizeof *read + size);
    if (!read) {
        PyErr_NoMemory();
        return 0;
    }
    *read = (Kept){.now_ns = now_ns, .late_ns = late, .size = size};
    memcpy(read->data, data, size);
    if (self->last_kept)
        self->last_kept->next = read;
    else
        self->first_kept = read;
    self->last_kept = read;
    self->count_kept++;
    return 1;
}

/* The first of what is kept, which is the caller's from now on; NULL: nothing. */
static Kept *next_kept(TokenReader *self) {
    Kept *read = self->first_kept;
    if (!read) return NULL;
    self->first_kept = read->next;
    if (!read->next) self->last_kept = NULL;
    self->count_kept--;
    return read;
}

/* A read of something; how late it may be is looked up only where `late` points to nothing. */
static int take_in(TokenReader *self, const char *data, Py_ssize_t size, long long now_ns,
                   const long long *late) {
    Py_ssize_t count = self->taking && !self->waiting ? tokens_in(self, data, size) : 0;
    for (Py_ssize_t i = 0; i < count; i++)
        if (!push(self->stamps, now_ns)) return 0;
    if (count) self->taken += size;
    if (count == 1) return 1;
    long long by_ns = late ? *late : late_ns(self->poll, now_ns);
    if (count) return note(self, "merged", by_ns);
    if (self->waiting) return keep(self, data, size, now_ns, by_ns);
    self->waiting = 1;
    /* No "y#": what it means depends on the Python whose headers are used, see PY_SSIZE_T_CLEAN. */
    PyObject *left = PyBytes_FromStringAndSize(data, size);
    if (!left) return 0;
    int well = went_well(PyObject_CallMethod(self->owner, "leave", "OLL", left, now_ns, by_ns));
    Py_DECREF(left);
    return well;
}

/* Whether its poll still calls it: what wrote on may have closed it, and others have its number. */
static int is_watched(const TokenReader *self) {
    return self->fd >= 0 && self->fd < self->poll->room &&
           self->poll->handlers[self->fd] == (PyObject *)self;
}

static void forget(Poller *poll, Py_ssize_t fd);

/* No more will come. */
static int over(TokenReader *self, const char *error) {
    if (is_watched(self)) forget(self->poll, self->fd);
    long long now_ns = monotonic_ns();
    if (!self->waiting)
        return went_well(PyObject_CallMethod(self->owner, "over", "sL", error, now_ns));
    if (self->end) return 1;
    self->end_ns = now_ns;
    self->end = PyUnicode_FromString(error);
    return self->end != NULL;
}

/* What was kept, up to the next read that the owner is to look at. */
static int take_kept(TokenReader *self) {
    int well = 1;
    Kept *read;
    while (well && !self->waiting && (read = next_kept(self))) {
        well = take_in(self, read->data, read->size, read->now_ns, &read->late_ns);
        PyMem_Free(read);
    }
    if (!well || self->waiting || !self->end) return well;
    PyObject *end = self->end;
    self->end = NULL;
    well = went_well(PyObject_CallMethod(self->owner, "over", "OL", end, self->end_ns));
    Py_DECREF(end);
    return well;
}

/* What the descriptor is ready for; 0 where Python is to see an error. `plain`: see Poller_turn. */
static int ready(TokenReader *self, unsigned mask, int *plain) {
    if (!self->poll) {
        PyErr_SetString(PyExc_RuntimeError, "a reader was called while it was being deleted");
        return 0;
    }
    if (mask != READ && mask & WRITE) {
        *plain = 0;
        if (!went_well(PyObject_CallMethod(self->owner, "write_on", NULL))) return 0;
        if (!is_watched(self)) return 1;
    }
    _Alignas(struct cmsghdr) char told[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec where = {.iov_base = room, .iov_len = ROOM_BYTES};
    struct msghdr message = {
        .msg_iov = &where, .msg_iovlen = 1, .msg_control = told, .msg_controllen = sizeof told};
    Py_ssize_t size;
    do size = recvmsg(self->fd, &message, MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    if (size < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) return 1;
        *plain = 0;
        return over(self, strerror(errno));
    }
    long long now_ns = stamp_of(self, &message);
    if (!now_ns) {
        now_ns = monotonic_ns();
        /* The end is no arrival, and has no stamp. */
        if (size && PyObject_SetAttrString(self->receiver, "kernel", Py_False) < 0) return 0;
    }
    if (self->poll->timed && !note(self, "delays", late_ns(self->poll, now_ns))) return 0;
    if (now_ns < self->floor_ns)
        now_ns = self->floor_ns;
    else
        self->floor_ns = now_ns;
    Py_ssize_t before = self->taken;
    int well = size ? take_in(self, room, size, now_ns, NULL) : over(self, "");
    if (self->taken == before) *plain = 0;
    return well;
}

static PyObject *TokenReader_call(TokenReader *self, PyObject *args, PyObject *named) {
    unsigned mask;
    int plain;
    if (!PyArg_ParseTuple(args, "I", &mask) || !ready(self, mask, &plain)) return NULL;
    Py_RETURN_NONE;
}

/* From now on, what fits this stencil is a token, whose stamp goes here. */
static int recognise(TokenReader *self, PyObject *stencil, Timestamps *stamps) {
    PyObject *lead = PyObject_GetAttrString(stencil, "lead");
    PyObject *tail = lead ? PyObject_GetAttrString(stencil, "tail") : NULL;
    char *lead_at, *tail_at, *around = NULL;
    Py_ssize_t lead_size, tail_size;
    if (tail && !PyBytes_AsStringAndSize(lead, &lead_at, &lead_size) &&
        !PyBytes_AsStringAndSize(tail, &tail_at, &tail_size)) {
        around = PyMem_Realloc(self->around, lead_size + tail_size + 1);
        if (!around) PyErr_NoMemory();
    }
    if (around) {
        memcpy(around, lead_at, lead_size);
        memcpy(around + lead_size, tail_at, tail_size);
        self->around = around;
        self->lead_size = lead_size;
        self->tail_size = tail_size;
        PyObject *old = (PyObject *)self->stamps;
        self->stamps = (Timestamps *)Py_NewRef((PyObject *)stamps);
        self->taking = 1;
        Py_XDECREF(old);
    }
    Py_XDECREF(lead);
    Py_XDECREF(tail);
    return around != NULL;
}

static PyObject *TokenReader_go_on(TokenReader *self, PyObject *args) {
    PyObject *stencil = Py_None;
    Timestamps *stamps = NULL;
    State *state = PyType_GetModuleState(Py_TYPE((PyObject *)self));
    if (!state || !PyArg_ParseTuple(args, "|OO!", &stencil, state->stamps, &stamps)) return NULL;
    self->taking = 0;
    if (stencil == Py_None) {
        Py_CLEAR(self->stamps);
    } else {
        if (!stamps) {
            PyErr_SetString(PyExc_TypeError, "a stencil needs a place for stamps");
            return NULL;
        }
        if (!recognise(self, stencil, stamps)) return NULL;
    }
    self->waiting = 0;
    if (!take_kept(self)) return NULL;
    Py_RETURN_NONE;
}

static PyObject *TokenReader_kept(TokenReader *self, void *nothing) {
    return PyLong_FromSsize_t(self->count_kept + (self->end != NULL));
}

static PyObject *TokenReader_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    int fd;
    PyObject *owner, *receiver, *poll;
    if (!PyArg_ParseTuple(args, "iOOO", &fd, &owner, &receiver, &poll)) return NULL;
    State *state = PyType_GetModuleState(type);
    if (!state) return NULL;
    if (!PyObject_TypeCheck(poll, state->poll)) {
        PyErr_SetString(PyExc_TypeError, "a compiled reader needs a compiled poll");
        return NULL;
    }
    PyObject *clock = PyObject_GetAttrString(receiver, "clock");
    PyObject *ahead = clock ? PyObject_GetAttrString(clock, "ahead_ns") : NULL;
    long long ahead_ns = ahead ? PyLong_AsLongLong(ahead) : 0;
    Py_XDECREF(clock);
    Py_XDECREF(ahead);
    if (PyErr_Occurred()) return NULL;
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    TokenReader *self = (TokenReader *)allocate(type, 0);
    if (!self) return NULL;
    self->fd = fd;
    self->ahead_ns = ahead_ns;
    self->owner = Py_NewRef(owner);
    self->receiver = Py_NewRef(receiver);
    self->poll = (Poller *)Py_NewRef(poll);
    return (PyObject *)self;
}

static int TokenReader_traverse(TokenReader *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->stamps);
    Py_VISIT(self->owner);
    Py_VISIT(self->receiver);
    Py_VISIT(self->poll);
    return 0;
}

static int TokenReader_clear(TokenReader *self) {
    self->taking = 0;
    Py_CLEAR(self->stamps);
    PyMem_Free(self->around);
    self->around = NULL;
    for (Kept *read; (read = next_kept(self));) PyMem_Free(read);
    Py_CLEAR(self->end);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->receiver);
    Py_CLEAR(self->poll);
    return 0;
}

/* -- Poller -------------------------------------------------------------------------------------- */

static PyObject *broken(void) { return PyErr_SetFromErrno(PyExc_OSError); }

static PyObject *Poller_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    static char *names[] = {"most", NULL};
    int most = MOST;
    if (!PyArg_ParseTupleAndKeywords(args, named, "|$i", names, &most)) return NULL;
    if (most < 1 || most > MOST) {
        PyErr_Format(PyExc_ValueError, "most: expected 1 to %d", MOST);
        return NULL;
    }
    allocfunc allocate = PyType_GetSlot(type, Py_tp_alloc);
    Poller *self = (Poller *)allocate(type, 0);
    if (!self) return NULL;
    self->most = most;
    self->until_timed = self->chance = 1;
    self->since_ns = monotonic_ns();
    self->fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->fd < 0) {
        broken();
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* A place for the handler of this descriptor. */
static int make_room(Poller *self, Py_ssize_t fd) {
    if (fd < self->room) return 1;
    Py_ssize_t count = 2 * fd + 64;
    PyObject **handlers = PyMem_Realloc(self->handlers, count * sizeof *handlers);
    if (!handlers) {
        PyErr_NoMemory();
        return 0;
    }
    memset(handlers + self->room, 0, (count - self->room) * sizeof *handlers);
    self->handlers = handlers;
    self->room = count;
    return 1;
}

static PyObject *Poller_watch(Poller *self, PyObject *args) {
    int fd;
    unsigned mask = READ;
    PyObject *handler;
    if (!PyArg_ParseTuple(args, "iO|I", &fd, &handler, &mask)) return NULL;
    if (fcntl(fd, F_GETFD) < 0) return broken(); /* Before there is room for any number. */
    if (!make_room(self, fd)) return NULL;
    PyObject *old = self->handlers[fd];
    struct epoll_event event = {.events = mask, .data.fd = fd};
    if (epoll_ctl(self->fd, old ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0) return broken();
    self->handlers[fd] = Py_NewRef(handler);
    self->watched += !old;
    Py_XDECREF(old);
    Py_RETURN_NONE;
}

/* Whoever closed the descriptor first has unregistered it thereby. */
static void forget(Poller *self, Py_ssize_t fd) {
    if (fd < 0 || fd >= self->room || !self->handlers[fd]) return;
    PyObject *old = self->handlers[fd];
    self->handlers[fd] = NULL;
    self->watched--;
    struct epoll_event event = {0};
    epoll_ctl(self->fd, EPOLL_CTL_DEL, (int)fd, &event);
    Py_DECREF(old);
}

static PyObject *Poller_forget(Poller *self, PyObject *number) {
    long fd = PyLong_AsLong(number);
    if (fd == -1 && PyErr_Occurred()) return NULL;
    forget(self, fd);
    Py_RETURN_NONE;
}

static PyObject *Poller_late_ns(Poller *self, PyObject *came) {
    long long came_ns = PyLong_AsLongLong(came);
    if (came_ns == -1 && PyErr_Occurred()) return NULL;
    return PyLong_FromLongLong(late_ns(self, came_ns));
}

/* As Poller._turned of poller.py. */
static void turned(Poller *self, int handed, long long polled_ns) {
    if (self->timed) {
        self->chance = (self->chance * 1103515245u + 12345u) % (1u << 31);
        self->until_timed = 1 + (int)((self->chance >> 16) % (2 * TIMED - 1));
    }
    self->handed += handed;
    if (!handed) {
        self->since_ns = polled_ns;
        self->full_ns = self->handed = 0;
    } else if (!self->full_ns) {
        self->full_ns = polled_ns;
    } else if (self->handed > self->watched) {
        self->since_ns = self->full_ns;
        self->full_ns = polled_ns;
        self->handed = 0;
    }
}

/* Call one handler; 0 where Python is to see an error. */
static int call(Poller *self, PyTypeObject *reader, const struct epoll_event *event, int *plain) {
    int fd = event->data.fd;
    PyObject *handler = fd < self->room ? self->handlers[fd] : NULL;
    if (!handler) return 1; /* Another handler of this turn forgot it. */
    Py_INCREF(handler);
    int well;
    if (Py_TYPE(handler) == reader) {
        well = ready((TokenReader *)handler, event->events, plain);
    } else {
        *plain = 0;
        well = went_well(PyObject_CallFunction(handler, "I", event->events));
    }
    Py_DECREF(handler);
    return well;
}

/* One poll and what it reports: how many; -1 where Python is to see an error. */
static int turn(Poller *self, PyTypeObject *reader, int wait_ms, int *plain) {
    struct epoll_event events[MOST];
    if (self->full) wait_ms = 0;
    long long asked_ns, polled_ns;
    int count, error;
    Py_BEGIN_ALLOW_THREADS /* The clock is read without it: to wait for another thread is no poll. */
    asked_ns = monotonic_ns();
    count = epoll_wait(self->fd, events, self->most, wait_ms);
    error = errno;
    polled_ns = monotonic_ns();
    Py_END_ALLOW_THREADS
    if (count < 0 && error != EINTR) {
        errno = error;
        broken();
        return -1;
    }
    if (count < 0) count = 0; /* A signal: its handler is called before the next turn. */
    if (wait_ms && polled_ns - asked_ns > AT_ONCE_NS) self->since_ns = polled_ns;
    self->timed = --self->until_timed == 0;
    for (int i = 0; i < count; i++)
        if (!call(self, reader, &events[i], plain)) return -1;
    self->full = count >= self->most;
    turned(self, self->full ? count : 0, polled_ns);
    return count;
}

static PyObject *Poller_turn(Poller *self, PyObject *wait) {
    State *state = PyType_GetModuleState(Py_TYPE((PyObject *)self));
    double wait_s = PyFloat_AsDouble(wait);
    if (!state || (wait_s == -1.0 && PyErr_Occurred())) return NULL;
    /* As select.epoll: rounded up, or a timer's last part of a millisecond would be polled away. */
    double asked_ms = wait_s * 1e3 + 0.999999;
    int wait_ms = wait_s < 0 ? -1 : (int)(asked_ms < LONGEST_MS ? asked_ms : LONGEST_MS);
    int plain = 1, count;
    /* While only tokens came, nothing can have changed for whoever asks for the next turn. */
    do {
        count = turn(self, state->reader, wait_ms, &plain);
        if (count < 0 || PyErr_CheckSignals() < 0) return NULL;
    } while (plain && count && wait_ms < 0);
    return PyLong_FromLong(count);
}

static void drop_handlers(Poller *self) {
    Py_ssize_t count = self->room;
    PyObject **handlers = self->handlers;
    self->handlers = NULL;
    self->room = self->watched = 0;
    for (Py_ssize_t i = 0; i < count; i++) Py_XDECREF(handlers[i]);
    PyMem_Free(handlers);
}

static PyObject *Poller_close(Poller *self, PyObject *nothing) {
    drop_handlers(self);
    if (self->fd >= 0) close(self->fd);
    self->fd = -1;
    Py_RETURN_NONE;
}

static int Poller_traverse(Poller *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    for (Py_ssize_t i = 0; i < self->room; i++) Py_VISIT(self->handlers[i]);
    return 0;
}

static int Poller_clear(Poller *self) {
    drop_handlers(self);
    return 0;
}

/* -- the module -------------------------------------------------------------------------------- */

static void release(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    freefunc free_it = PyType_GetSlot(type, Py_tp_free);
    free_it(self);
    Py_DECREF(type);
}

static void Timestamps_dealloc(PyObject *self) {
    PyMem_Free(((Timestamps *)self)->at);
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

static PyMethodDef stamps_methods[] = {
    {"append", (PyCFunction)Timestamps_append, METH_O, "See timestamps.py."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef stamps_getset[] = {
    {"coalesced", (getter)Timestamps_coalesced, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot stamps_slots[] = {
    {Py_tp_doc, "When the tokens of one turn came: see timestamps.py."},
    {Py_tp_methods, stamps_methods},
    {Py_tp_getset, stamps_getset},
    {Py_sq_length, Timestamps_length},
    {Py_sq_item, Timestamps_item},
    {Py_bf_getbuffer, Timestamps_show},
    {Py_bf_releasebuffer, Timestamps_hide},
    {Py_tp_dealloc, Timestamps_dealloc},
    {0, NULL},
};

static PyMethodDef reader_methods[] = {
    {"go_on", (PyCFunction)TokenReader_go_on, METH_VARARGS, "See token_reader.py."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef reader_getset[] = {
    {"kept", (getter)TokenReader_kept, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef reader_members[] = {
    {"floor_ns", T_LONGLONG, offsetof(TokenReader, floor_ns), 0, NULL},
    {"taken", T_PYSSIZET, offsetof(TokenReader, taken), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, "The handler of one connection's descriptor: see token_reader.py."},
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

static PyMethodDef poll_methods[] = {
    {"watch", (PyCFunction)Poller_watch, METH_VARARGS, "See poller.py."},
    {"forget", (PyCFunction)Poller_forget, METH_O, "See poller.py."},
    {"late_ns", (PyCFunction)Poller_late_ns, METH_O, "See poller.py."},
    {"turn", (PyCFunction)Poller_turn, METH_O, "See poller.py."},
    {"close", (PyCFunction)Poller_close, METH_NOARGS, "See poller.py."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef poll_members[] = {
    {"since_ns", T_LONGLONG, offsetof(Poller, since_ns), READONLY, NULL},
    {"timed", T_INT, offsetof(Poller, timed), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot poll_slots[] = {
    {Py_tp_doc, "Calls the handlers of ready descriptors: see poller.py."},
    {Py_tp_new, Poller_new},
    {Py_tp_methods, poll_methods},
    {Py_tp_members, poll_members},
    {Py_tp_traverse, Poller_traverse},
    {Py_tp_clear, Poller_clear},
    {Py_tp_dealloc, Poller_dealloc},
    {0, NULL},
};

static PyType_Spec stamps_spec = {
    .name = "tokenbench.load._native.Timestamps",
    .basicsize = sizeof(Timestamps),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = stamps_slots,
};

static PyType_Spec reader_spec = {
    .name = "tokenbench.load._native.TokenReader",
    .basicsize = sizeof(TokenReader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = reader_slots,
};

static PyType_Spec poll_spec = {
    .name = "tokenbench.load._native.Poller",
    .basicsize = sizeof(Poller),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = poll_slots,
};

static PyTypeObject *add(PyObject *module, PyType_Spec *spec) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type && PyModule_AddType(module, (PyTypeObject *)type) < 0) Py_CLEAR(type);
    return (PyTypeObject *)type;
}

static int fill(PyObject *module) {
    State *state = PyModule_GetState(module);
    state->poll = add(module, &poll_spec);
    state->reader = state->poll ? add(module, &reader_spec) : NULL;
    state->stamps = state->reader ? add(module, &stamps_spec) : NULL;
    return state->stamps ? 0 : -1;
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    State *state = PyModule_GetState(module);
    Py_VISIT(state->poll);
    Py_VISIT(state->reader);
    Py_VISIT(state->stamps);
    return 0;
}

static int clear(PyObject *module) {
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->poll);
    Py_CLEAR(state->reader);
    Py_CLEAR(state->stamps);
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tokenbench.load._native",
    .m_size = sizeof(State),
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
