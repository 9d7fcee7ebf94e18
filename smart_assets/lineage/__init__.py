"""What is made from what: the graph, the plan of what is out of date, and the making and recording of it."""
