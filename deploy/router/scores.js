/* One score of an answer. One, however many rows were asked for: rows of one request are not independent. */

/* Answers that are larger are passed on unread. */
const LARGEST = 262144;
const OUTPUT = 'score';

/*
 * The scores in a REST answer, in its row form (`predictions`) or its column form (`outputs`).
 * None of what is no JSON: TensorFlow Serving writes NaN as it is, and such an answer is passed on all the same.
 */
function ofJson(body) {
    if (body.length > LARGEST) {
        return [];
    }
    try {
        const answer = JSON.parse(body.toString());
        return numbers(answer.outputs !== undefined ? answer.outputs : answer.predictions, []);
    } catch (error) {
        return [];
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
