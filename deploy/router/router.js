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

async function predictOverRest(r) {
    r.variables.face = 'rest';
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

async function predictOverGrpc(r) {
    r.variables.face = 'grpc';
    r.headersOut['Content-Type'] = 'application/grpc';
    const request = grpc.readRequest(r.requestBuffer);
    const route = readRoute(r, request.model);
    const error = request.error || (request.label && request.label !== route.stable.label && {
        status: '5',
        message: `Users' requests name the label ${route.stable.label} of ${request.model}, or none.`,
    });
    if (error) {
        r.variables.grpc_status = error.status;
        r.variables.grpc_message = error.message;
        return r.return(200, '');
    }
    const ask = track => askOverGrpc(r, grpc.labelled(request, route[track].label), track);
    const rows = names => grpc.readRows(request.message, names);
    const answer = await predict(r, request.model, route, ask, rows);
    r.variables.grpc_status = answer.status;
    r.variables.grpc_message = answer.message;
    r.return(200, answer.body);
}

/* Answers by the user's track or, where that is the canary and it has no good answer, by stable. */
async function predict(r, model, route, ask, rows) {
    const track = chooseTrack(r, model, route);
    if (route.canary) {
        r.variables.canary_server = route.canary.server;
    }
    const first = await ask(track);
    const answer = first.outcome === 'ok' || track === 'stable' ? first : await ask('stable');
    /* A request that the canary refuses and stable answers was not the user's fault. */
    const outcome = first.outcome === 'refused' && answer.outcome === 'ok' ? 'failed' : first.outcome;
    const row = scores.choose(answer.scores, fraction(r.variables.trace));
    const score = row === undefined ? undefined : answer.scores[row];
    if (route.recorded && route.canary && route.share > 0 && answer.outcome === 'ok') {
        const key = record.keyOf(rows, route.recorded.inputs, row, answer.scores);
        note(r, record.line(model, {
            trace: r.variables.trace,
            user: userOf(r, route),
            track: track,
            answered_by: answer.track,
            score: score === undefined ? null : score,
            key: key,
        }));
    }
    note(r, {
        model: model,
        track: track,
        outcome: outcome,
        track_status: first.status,
        track_seconds: first.seconds,
        answered_by: answer.track,
        answer: answer.outcome,
        server: answer.server,
        version: answer.version,
        score: score,
    });
    return answer;
}

async function askOverRest(r, model, route, track) {
    const path = `/track/${track}/v1/models/${model}/labels/${route[track].label}:predict`;
    const reply = await r.subrequest(path, {method: 'POST'});
    const status = String(reply.status);
    const body = reply.responseBuffer;
    const outcome = judge('rest', status, reply.status === 200);
    const found = outcome === 'ok' ? scores.ofJson(body) : [];
    return attempt(reply, {track: track, status: status, outcome: outcome, body: body, scores: found});
}

async function askOverGrpc(r, body, track) {
    const reply = await r.subrequest(`/track/${track}`, {method: 'POST', body: body});
    const variables = reply.variables;
    const status = reply.status === 200
        ? variables.upstream_trailer_grpc_status || variables.upstream_http_grpc_status || '2'
        : '14';
    const message = variables.upstream_trailer_grpc_message || variables.upstream_http_grpc_message || '';
    const outcome = judge('grpc', status, status === '0');
    const found = outcome === 'ok' ? grpc.readResponse(reply.responseBuffer) : {};
    return attempt(reply, {
        track: track,
        status: status,
        message: reply.status === 200 ? message : `${track} did not answer (${reply.status})`,
        outcome: outcome,
        body: reply.status === 200 ? reply.responseBuffer : '',
        scores: found.scores,
        version: found.version,
    });
}

function attempt(reply, found) {
    found.seconds = last(reply.variables.upstream_response_time);
    found.server = last(reply.variables.upstream_addr);
    return found;
}

function judge(face, status, isGood) {
    if (isGood) {
        return 'ok';
    }
    return REFUSED[face].includes(status) ? 'refused' : 'failed';
}

function readRoute(r, model) {
    try {
        return JSON.parse(fs.readFileSync(`${r.variables.routes}/${model}.json`));
    } catch (error) {
        if (error.code !== 'ENOENT') {
            r.error(`the route of ${model} cannot be read, so stable answers all of it: ${error}`);
        }
        return NO_ROUTE;
    }
}

/* The same user of the same canary always comes to the same track, whatever server answers or restarts. */
function chooseTrack(r, model, route) {
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
