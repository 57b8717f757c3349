/*
 * The little of tensorflow.serving's protos that routing needs, read from the wire.
 *
 *     PredictRequest   1 model_spec  2 inputs (as outputs)    ModelSpec    1 name  2 version  4 version_label
 *     PredictResponse  1 outputs (map: 1 key, 2 TensorProto)  2 model_spec
 *     TensorProto      1 dtype  4 tensor_content  5 float_val (packed)  7 int_val (packed)  8 string_val
 *                      10 int64_val (packed)                  Int64Value   1 value
 *
 * A label is set by appending another model_spec: protobuf merges repeated occurrences of a message field, and
 * the last member of a oneof (version, version_label) wins. https://protobuf.dev/programming-guides/encoding/#last-one-wins
 */
import scores from 'scores.js';

const VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5;
const PREFIX = 5;
/* Of DT_INT32 and DT_INT64. */
const SIZES = {3: 4, 9: 8};

/* The message of a unary call: its model, its label if any, or the error to answer with. */
function readRequest(body) {
    if (!isOneMessage(body)) {
        return {error: {status: '3', message: 'Expected exactly one whole message.'}};
    }
    if (body[0] !== 0) {
        return {error: {status: '12', message: 'A compressed request cannot be routed: turn compression off.'}};
    }
    const message = body.subarray(PREFIX);
    const spec = {};
    try {
        fields(message).forEach(field => {
            if (field.number === 1) {
                Object.assign(spec, readSpec(field.bytes));
            }
        });
    } catch (error) {
        return {error: {status: '3', message: `Not a PredictRequest: ${error.message}`}};
    }
    return {model: spec.name, label: spec.label, message: message, error: refusal(spec)};
}

function refusal(spec) {
    if (!/^[a-z][a-z0-9_]*$/.test(spec.name || '')) {
        return {status: '3', message: 'Expected model_spec.name to be the name of a model.'};
    }
    if (spec.version !== undefined) {
        return {status: '5', message: "Users' requests name no version: ask a model server itself."};
    }
    return undefined;
}

/* The values of some inputs, each a list of texts; of one that is neither of strings nor of integers, none. */
function readRows(message, names) {
    const found = names.map(() => []);
    fields(message).filter(field => field.number === 2).forEach(field => {
        const parts = fields(field.bytes);
        const key = parts.find(part => part.number === 1);
        const tensor = parts.find(part => part.number === 2);
        const place = key ? names.indexOf(key.bytes.toString()) : -1;
        if (place >= 0 && tensor) {
            found[place] = readTexts(fields(tensor.bytes));
        }
    });
    return found;
}

function readTexts(tensor) {
    const texts = [];
    const dtype = tensor.find(field => field.number === 1);
    tensor.forEach(field => {
        if (field.number === 8) {
            texts.push(field.bytes.toString());
        } else if (field.number === 7 || field.number === 10) {
            integers(field).forEach(value => texts.push(value));
        } else if (field.number === 4 && dtype) {
            fixed(field.bytes, SIZES[dtype.value]).forEach(value => texts.push(value));
        }
    });
    return texts;
}

/* A packed field, or one that came alone. */
function integers(field) {
    if (!field.bytes.length) {
        return [whole(field.value)];
    }
    const values = [];
    for (let at = 0; at < field.bytes.length;) {
        const next = varint(field.bytes, at);
        values.push(whole(next.value));
        at = next.end;
    }
    return values;
}

/* Integers of a fixed size, little-endian. */
function fixed(bytes, size) {
    const values = [];
    for (let at = 0; size && at + size <= bytes.length; at += size) {
        const high = size === 8 ? bytes.readUInt32LE(at + 4) : 0;
        values.push(whole(high * 0x100000000 + bytes.readUInt32LE(at)));
    }
    return values;
}

/* As a text; a number that is negative or beyond 2^53 is not exact here, and stands for nothing. */
function whole(value) {
    return value <= Number.MAX_SAFE_INTEGER ? String(value) : '';
}

/* The same request, asking for a label. */
function labelled(request, label) {
    const name = Buffer.from(label);
    const suffix = Buffer.from([1 << 3 | BYTES, name.length + 2, 4 << 3 | BYTES, name.length]);
    const prefix = Buffer.alloc(PREFIX);
    prefix.writeUInt32BE(request.message.length + suffix.length + name.length, 1);
    return Buffer.concat([prefix, request.message, suffix, name]);
}

/*
 * The scores and the version that a PredictResponse carries, neither of one that is compressed or large; undefined if
 * it is not one whole message.
 */
function readResponse(body) {
    if (!isOneMessage(body)) {
        return undefined;
    }
    const found = {scores: [], version: undefined};
    if (body[0] !== 0 || body.length > scores.LARGEST) {
        return found;
    }
    try {
        fields(body.subarray(PREFIX)).forEach(field => {
            if (field.number === 1) {
                found.scores = found.scores.concat(readOutput(field.bytes));
            } else if (field.number === 2) {
                found.version = readSpec(field.bytes).version;
            }
        });
    } catch (error) {
        return undefined;
    }
    return found;
}

function isOneMessage(body) {
    return body && body.length >= PREFIX && body.readUInt32BE(1) === body.length - PREFIX;
}

function readSpec(bytes) {
    const spec = {};
    fields(bytes).forEach(field => {
        if (field.number === 1) {
            spec.name = field.bytes.toString();
        } else if (field.number === 2) {
            const value = fields(field.bytes)[0];
            spec.version = value ? value.value : 0;
        } else if (field.number === 4) {
            spec.label = field.bytes.toString();
        }
    });
    return spec;
}

function readOutput(entry) {
    const parts = fields(entry);
    const key = parts.find(field => field.number === 1);
    const tensor = parts.find(field => field.number === 2);
    if (!key || !tensor || key.bytes.toString() !== scores.OUTPUT) {
        return [];
    }
    const content = fields(tensor.bytes).find(field => field.number === 4 || field.number === 5);
    return content && content.bytes ? floats(content.bytes) : [];
}

function floats(bytes) {
    const values = [];
    for (let at = 0; at + 4 <= bytes.length; at += 4) {
        values.push(bytes.readFloatLE(at));
    }
    return values;
}

/* The fields of one message, in order: {number, value} of varints and {number, bytes} of the rest. */
function fields(bytes) {
    const found = [];
    let at = 0;
    while (at < bytes.length) {
        const key = varint(bytes, at);
        const number = Math.floor(key.value / 8);
        const type = key.value % 8;
        const first = type === VARINT || type === BYTES ? varint(bytes, key.end) : {value: 0, end: key.end};
        const end = first.end + size(type, first.value);
        if (end > bytes.length) {
            throw new Error('a field is cut off');
        }
        found.push({number: number, value: first.value, bytes: bytes.subarray(first.end, end)});
        at = end;
    }
    return found;
}

function size(type, length) {
    const sizes = {};
    sizes[VARINT] = 0;
    sizes[FIXED64] = 8;
    sizes[BYTES] = length;
    sizes[FIXED32] = 4;
    if (sizes[type] === undefined) {
        throw new Error(`wire type ${type}`);
    }
    return sizes[type];
}

/* Exact up to 2^53, which is enough for sizes and for version numbers of eleven digits. */
function varint(bytes, at) {
    let value = 0;
    let factor = 1;
    while (at < bytes.length && factor < 2 ** 70) {
        value += (bytes[at] & 0x7f) * factor;
        factor *= 128;
        if (bytes[at++] < 0x80) {
            return {value: value, end: at};
        }
    }
    throw new Error('a number is cut off');
}

export default {readRequest, readRows, labelled, readResponse};
