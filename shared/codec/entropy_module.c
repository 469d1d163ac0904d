/* splitfer.shared.codec._entropy: entropy_core.c for Python. The limited API: one build serves every
 * Python from 3.11 on. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdlib.h>

#include "entropy_core.h"

#define CAPSULE "splitfer.shared.codec._entropy.tables"

static void free_tables(PyObject *capsule)
{
    free(PyCapsule_GetPointer(capsule, CAPSULE));
}

static PyObject *read_tables(PyObject *module, PyObject *args)
{
    Py_buffer data;
    const char *why;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*", &data))
        return NULL;
    entropy_tables *tables = entropy_read_tables(data.buf, (size_t)data.len, &why);
    PyBuffer_Release(&data);
    if (tables == NULL) {
        PyErr_SetString(PyExc_ValueError, why);
        return NULL;
    }
    PyObject *capsule = PyCapsule_New(tables, CAPSULE, free_tables);
    if (capsule == NULL)
        free(tables);
    return capsule;
}

/* (tables, rate, bytes): gives the tables, or NULL with an exception set. */
static const entropy_tables *parse(PyObject *args, int *rate, Py_buffer *data)
{
    PyObject *capsule;
    if (!PyArg_ParseTuple(args, "Oiy*", &capsule, rate, data))
        return NULL;
    const entropy_tables *tables = PyCapsule_GetPointer(capsule, CAPSULE);
    if (tables != NULL && (*rate < 0 || *rate >= tables->rates)) {
        PyErr_Format(PyExc_IndexError, "rate %d of %d", *rate, tables->rates);
        tables = NULL;
    }
    if (tables == NULL)
        PyBuffer_Release(data);
    return tables;
}

static PyObject *encode(PyObject *module, PyObject *args)
{
    int rate;
    Py_buffer symbols;
    (void)module;
    const entropy_tables *tables = parse(args, &rate, &symbols);
    if (tables == NULL)
        return NULL;
    const char *why = "not as many symbols as a latent has";
    PyObject *body = NULL;
    uint8_t *out = malloc(entropy_most_encoded(tables));
    if (out == NULL) {
        PyErr_NoMemory();
    } else {
        size_t length = 0;
        if (symbols.len == SYMBOLS) {
            Py_BEGIN_ALLOW_THREADS
            length = entropy_encode(tables, rate, symbols.buf, out, &why);
            Py_END_ALLOW_THREADS
        }
        if (why == NULL)
            body = PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)length);
        else
            PyErr_SetString(PyExc_ValueError, why);
    }
    free(out);
    PyBuffer_Release(&symbols);
    return body;
}

static PyObject *decode(PyObject *module, PyObject *args)
{
    int rate;
    Py_buffer body;
    (void)module;
    const entropy_tables *tables = parse(args, &rate, &body);
    if (tables == NULL)
        return NULL;
    const char *why;
    uint8_t symbols[SYMBOLS];
    Py_BEGIN_ALLOW_THREADS
    why = entropy_decode(tables, rate, body.buf, (size_t)body.len, symbols);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&body);
    if (why == NULL)
        return PyBytes_FromStringAndSize((const char *)symbols, SYMBOLS);
    PyErr_SetString(PyExc_ValueError, why);
    return NULL;
}

static PyMethodDef METHODS[] = {
    {"read_tables", read_tables, METH_VARARGS, "The tables of a file, for the other two."},
    {"encode", encode, METH_VARARGS, "(tables, rate, symbols) -> body."},
    {"decode", decode, METH_VARARGS, "(tables, rate, body) -> symbols."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot SLOTS[] = {{0, NULL}};

static struct PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "splitfer.shared.codec._entropy",
    .m_methods = METHODS,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC PyInit__entropy(void)
{
    return PyModuleDef_Init(&MODULE);
}
