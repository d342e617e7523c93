"""What Flower's HTTP APIs lack: many objects in one request, and waiting for something to happen.

Flower moves a message as a tree of objects, two for each array, each in a request of its own,
and whoever waits for a message, a reply or a task asks again and again. A request costs a
SuperLink 5 to 8 ms of processor time, whatever is in it, so that most of a short round went into
asking. Our SuperLink and SuperNode have a few routes more (`routes`), and our clients use them
where they are (`client`): against flwr's own servers they do as flwr's clients do.

The routes go through flwr's authentication like all others.
"""
