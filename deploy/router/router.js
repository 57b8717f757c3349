/*
 * Answers one prediction: choose the user's track, ask it, and let stable answer where the canary did not.
 *
 * A route says how a model's users are split. `ml.release.router` writes it, and it is read anew for every
 * request, so a changed share counts from the next request on and nothing is reloaded:
 *
 *     {"share": 0.1, "salt": "20261120001", "header": "X-User-Id",
 *      "stable": {"label": "stable"}, "canary": {"label": "canary", "server": "canary"},
 *      "recorded": {"inputs": ["user_id", "item_id"]}}
 *
 * `server` is the model server that has the canary: "canary", or "stable" where one server has both. Where
 * `recorded` is given, good answers are recorded while the canary has users: record.js.
 */
import crypto from 'crypto';
import fs from 'fs';
import grpc from 'grpc.js';
import record from 'record.js';
import scores from 'scores.js';

const NO_ROUTE = {share: 0, salt: '', header: '', stable: {label: 'stable'}, canary: null};

/* What the request itself is to blame for; every track would answer the same. */
const REFUSED = {rest: ['400', '413', '415'], grpc: ['3', '11']};

/* A mistake of this script is the router's own failure: mtail knows it by 500 without an answer. */
function predictOverRest(r) {
    r.variables.face = 'rest';
    answerOverRest(r).catch(error => fail(r, error));
}

function predictOverGrpc(r) {
    r.variables.face = 'grpc';
    answerOverGrpc(r).catch(error => fail(r, error));
}

function fail(r, error) {
    r.error(`a mistake in the router: ${error.stack || error}`);
    note(r, {answer: ''});
    r.return(500, JSON.stringify({error: 'The router has failed; its error log says why.'}));
}

async function answerOverRest(r) {
    const model = r.variables.rest_model;
    const route = readRoute(r, model);
    const label = r.variables.rest_label;
    if (label && label !== route.stable.label) {
        const message = `Users' requests name the label ${route.stable.label} of ${model}, or none.`;
        return r.return(404, JSON.stringify({error: message}));
    }
    const rows = names => record.ofJson(r.requestBuffer, names);
    const answer = await predict(r, model, route, track => askOverRest(r, model, route, track), rows);
    r.headersOut['Content-Type'] = 'application/json';
    r.return(Number(answer.status), answer.body);
}

async function answerOverGrpc(r) {
    r.headersOut['Content-Type'] = 'application/grpc';
    const request = grpc.readRequest(r.requestBuffer);
    if (request.error) {
        return turnAwayOverGrpc(r, request.error);
    }
    const route = readRoute(r, request.model);
    if (request.label && request.label !== route.stable.label) {
        const message = `Users' requests name the label ${route.stable.label} of ${request.model}, or none.`;
        return turnAwayOverGrpc(r, {status: '5', message: message});
    }
    const ask = track => askOverGrpc(r, grpc.labelled(request, route[track].label), track);
    const rows = names => grpc.readRows(request.message, names);
    const answer = await predict(r, request.model, route, ask, rows);
    r.variables.grpc_status = answer.status;
    r.variables.grpc_message = answer.message;
    r.return(200, answer.body);
}

function turnAwayOverGrpc(r, error) {
    r.variables.grpc_status = error.status;
    r.variables.grpc_message = error.message;
    r.return(200, '');
}

/* Answers by the user's track or, where that is the canary and it has no good answer, by stable. */
async function predict(r, model, route, ask, rows) {
    const track = chooseTrack(r, model, route);
    if (route.canary) {
        r.variables.canary_server = route.canary.server;
    }
    /* All that is logged of a user who leaves meanwhile. */
    note(r, {model: model, track: track, answered_by: track});
    const first = await ask(track);
    let answer = first;
    if (first.outcome !== 'ok' && track !== 'stable') {
        note(r, {answered_by: 'stable'});
        answer = await ask('stable');
    }
    const row = scores.choose(answer.scores, fraction(r.variables.trace));
    const score = row === undefined ? undefined : answer.scores[row];
    if (route.recorded && route.canary && route.share > 0 && answer.outcome === 'ok') {
        recordAnswer(r, model, route, rows, {track: track, answer: answer, row: row, score: score});
    }
    noteAnswer(r, model, first, answer, score);
    return answer;
}

function recordAnswer(r, model, route, rows, given) {
    try {
        const key = record.keyOf(rows, route.recorded.inputs, given.row, given.answer.scores);
        note(r, record.line(model, {
            trace: r.variables.trace,
            user: userOf(r, route),
            track: given.track,
            answered_by: given.answer.track,
            score: given.score === undefined ? null : given.score,
            key: key,
        }));
    } catch (error) {
        r.error(`an answer of ${model} was not recorded because of a mistake in the router: ${error.stack || error}`);
    }
}

/* For the access log: what the user's own track answered first, and what the user got. */
function noteAnswer(r, model, first, answer, score) {
    /* A request that the canary refuses and stable answers was not the user's fault. */
    const outcome = first.outcome === 'refused' && answer.outcome === 'ok' ? 'failed' : first.outcome;
    note(r, {
        model: model,
        track: first.track,
        outcome: outcome,
        track_status: first.status,
        track_seconds: first.seconds,
        answered_by: answer.track,
        answer: answer.outcome,
        server: answer.server,
        version: answer.version,
        score: score,
    });
}

/* An answer that is not whole is none: its status was sent before it broke off. */
async function askOverRest(r, model, route, track) {
    const path = `/track/${track}/v1/models/${model}/labels/${route[track].label}:predict`;
    const reply = await r.subrequest(path, {method: 'POST'});
    const body = reply.responseBuffer || Buffer.alloc(0);
    if (reply.status !== 200) {
        const status = String(reply.status);
        return attempt(reply, {track: track, status: status, outcome: judge('rest', status), body: body});
    }
    const found = scores.ofJson(body, reply.variables.upstream_http_content_length);
    if (!found) {
        const message = JSON.stringify({error: `The answer of ${track} is not whole.`});
        return attempt(reply, {track: track, status: '502', outcome: 'failed', body: message});
    }
    return attempt(reply, {track: track, status: '200', outcome: 'ok', body: body, scores: found});
}

async function askOverGrpc(r, body, track) {
    const reply = await r.subrequest(`/track/${track}`, {method: 'POST', body: body});
    const variables = reply.variables;
    const status = variables.upstream_trailer_grpc_status || variables.upstream_http_grpc_status;
    const message = variables.upstream_trailer_grpc_message || variables.upstream_http_grpc_message || '';
    if (reply.status !== 200) {
        return attempt(reply, failure(track, '14', `${track} did not answer (${reply.status})`));
    }
    if (status && status !== '0') {
        return attempt(reply, failure(track, status, message));
    }
    const found = grpc.readResponse(reply.responseBuffer);
    if (!status || !found) {
        return attempt(reply, failure(track, '13', `The answer of ${track} is not whole.`));
    }
    return attempt(reply, {
        track: track,
        status: status,
        message: message,
        outcome: 'ok',
        body: reply.responseBuffer,
        scores: found.scores,
        version: found.version,
    });
}

function failure(track, status, message) {
    return {track: track, status: status, message: message, outcome: judge('grpc', status), body: ''};
}

function attempt(reply, found) {
    found.seconds = last(reply.variables.upstream_response_time);
    found.server = last(reply.variables.upstream_addr);
    return found;
}

function judge(face, status) {
    return REFUSED[face].includes(status) ? 'refused' : 'failed';
}

function readRoute(r, model) {
    const file = `${r.variables.routes}/${model}.json`;
    try {
        const route = JSON.parse(fs.readFileSync(file));
        if (isRoute(route)) {
            return route;
        }
        r.error(`${file} is not a route, so stable answers everybody who asks for ${model}`);
    } catch (error) {
        if (error.code !== 'ENOENT') {
            r.error(`${file} cannot be read, so stable answers everybody who asks for ${model}: ${error}`);
        }
    }
    return NO_ROUTE;
}

function isRoute(route) {
    return isObject(route) && typeof route.share === 'number' && route.share >= 0 && route.share <= 1
        && [route.salt, route.header].every(isText) && isTrack(route.stable)
        && (!route.canary || isTrack(route.canary) && ['stable', 'canary'].includes(route.canary.server))
        && (!route.recorded || Array.isArray(route.recorded.inputs) && route.recorded.inputs.every(isText));
}

function isTrack(track) {
    return isObject(track) && isText(track.label) && track.label.length > 0;
}

function isObject(value) {
    return value !== null && typeof value === 'object';
}

function isText(value) {
    return typeof value === 'string';
}

/* By stable where it cannot be found out: no user pays for a mistake in here. */
function chooseTrack(r, model, route) {
    try {
        return drawTrack(r, model, route);
    } catch (error) {
        r.error(`stable answers a request for ${model} because of a mistake in the router: ${error.stack || error}`);
        return 'stable';
    }
}

/* The same user of the same canary always comes to the same track, whatever server answers or restarts. */
function drawTrack(r, model, route) {
    if (!route.canary || !(route.share > 0)) {
        return 'stable';
    }
    return fraction(`${model}/${route.salt}/${userOf(r, route)}`) < route.share ? 'canary' : 'stable';
}

/* Who is kept on one track; without the header every request is drawn for itself. */
function userOf(r, route) {
    return r.headersIn[route.header] || r.variables.trace;
}

/* A number in [0, 1) that follows from a text and is spread evenly over texts. */
function fraction(text) {
    const digest = crypto.createHash('md5').update(text).digest('hex');
    return parseInt(digest.slice(0, 8), 16) / 0x100000000;
}

function note(r, found) {
    Object.keys(found).forEach(name => {
        r.variables[name] = found[name] === undefined ? '' : String(found[name]);
    });
}

/* nginx lists every try: "127.0.0.1:8501, 127.0.0.1:8501". */
function last(tries) {
    return (tries || '').split(',').pop().trim();
}

export default {predictOverRest, predictOverGrpc};
