/* One score of an answer. One, however many rows were asked for: rows of one request are not independent. */

/* Answers that are larger are passed on unread. */
const LARGEST = 262144;
const OUTPUT = 'score';

/*
 * The scores in a REST answer, in its row form (`predictions`) or its column form (`outputs`); undefined if it is not
 * whole: a server that dies while it answers has said 200 long before. `length` is what its head said, if it did.
 */
function ofJson(body, length) {
    if (length && Number(length) !== body.length) {
        return undefined;
    }
    if (length && body.length > LARGEST) {
        return [];
    }
    try {
        const answer = parse(body.toString());
        if (answer.outputs === undefined && answer.predictions === undefined) {
            return undefined;
        }
        return numbers(answer.outputs !== undefined ? answer.outputs : answer.predictions, []);
    } catch (error) {
        return undefined;
    }
}

/* TensorFlow Serving writes what is no finite number as it is, which is no JSON; such a row has no score. */
function parse(text) {
    try {
        return JSON.parse(text);
    } catch (error) {
        return JSON.parse(text.replace(/-?\b(?:NaN|Inf(?:inity)?)\b/g, 'null'));
    }
}

/* The numbers in nested lists, and below the name of the score where outputs have names. */
function numbers(value, found) {
    if (Array.isArray(value)) {
        value.forEach(item => numbers(item, found));
    } else if (typeof value === 'number') {
        found.push(value);
    } else if (value) {
        numbers(value[OUTPUT], found);
    }
    return found;
}

/* The place of one of them, chosen by a fraction of [0, 1); undefined if there is none. */
function choose(scores, fraction) {
    return scores && scores.length ? Math.floor(fraction * scores.length) : undefined;
}

export default {ofJson, choose, OUTPUT, LARGEST};
