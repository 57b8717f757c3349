/*
 * The record of good answers, by which a canary is judged again when its users' clicks have landed:
 * ml/landing/predictions.py reads it.
 *
 * One JSON object an answer, in a file of the hour. Of an answer with many rows it is the row whose score is in the
 * access log: rows of one request are not independent.
 */

/* Longer values are nobody's identifier. */
const LONGEST = 256;

/* The values of some inputs in a REST request, each a list of texts. */
function ofJson(body, names) {
    const request = JSON.parse(body.toString());
    if (request.inputs !== undefined) {
        return names.map(name => texts(request.inputs[name], []));
    }
    return names.map(name => request.instances.map(row => texts(row[name], []).join()));
}

/* The values of the row that was scored; null if the request does not say them, one for each score. */
function keyOf(rows, names, row, scores) {
    if (!names.length) {
        return [];
    }
    try {
        const key = rows(names).map(values => values.length === scores.length ? values[row] : '');
        return key.every(value => value && value.length <= LONGEST) ? key : null;
    } catch (error) {
        return null;
    }
}

/* The line, and the file that it goes to. */
function line(model, found) {
    const now = new Date();
    const content = Object.assign({time: now.getTime()}, found);
    return {recorded: JSON.stringify(content), hour: `${model}-${now.toISOString().slice(0, 13)}`};
}

function texts(value, found) {
    if (Array.isArray(value)) {
        value.forEach(item => texts(item, found));
    } else if (typeof value === 'string') {
        found.push(value);
    } else {
        found.push(Number.isInteger(value) && value <= Number.MAX_SAFE_INTEGER ? String(value) : '');
    }
    return found;
}

export default {ofJson, keyOf, line};
